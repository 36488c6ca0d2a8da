/** The service's mark: a llama's head above a highlighted line. */
export function Logo({ size = 26 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" className="logo">
      <rect width="32" height="32" rx="9" fill="light-dark(#1c5a47, #26705a)" />
      <path
        fill="#f4f1e6"
        d="M10 26V12.5L8.6 6.2c-.2-.9.9-1.4 1.5-.7L13 9.2h4.5c3.6 0 6.5 2.9 6.5 6.5 0 1.8-1.5 3.3-3.3 3.3H17v7z"
      />
      <rect x="8" y="24" width="16" height="4" rx="1" fill="#f0c63c" />
      <circle cx="16.2" cy="14" r="1.4" fill="#1c5a47" />
    </svg>
  );
}
