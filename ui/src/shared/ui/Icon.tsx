/** Line icons on a 24-unit grid, drawn for this page. */
const PATHS = {
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  clip: "M20 11.5l-8.2 8.2a5.5 5.5 0 0 1-7.8-7.8l8.6-8.6a3.7 3.7 0 0 1 5.2 5.2l-8.6 8.6a1.8 1.8 0 0 1-2.6-2.6l7.9-7.9",
  copy: "M9 9h10v11H9zM5 15V4h10",
  check: "M5 12.5l4.5 4.5L19 7.5",
  refresh: "M20 11a8 8 0 1 0-1.5 5.5M20 4v7h-7",
  pencil: "M4 20l1-4L16.5 4.5a2.1 2.1 0 0 1 3 3L8 19z",
  up: "M7 11l4-7c1.7 0 2.5 1.2 2.2 2.7L12.5 10H18a2 2 0 0 1 2 2.4l-1.1 5.2A3 3 0 0 1 16 20H7zM3.5 11H7v9H3.5z",
  down: "M7 13l4 7c1.7 0 2.5-1.2 2.2-2.7L12.5 14H18a2 2 0 0 0 2-2.4l-1.1-5.2A3 3 0 0 0 16 4H7zM3.5 13H7V4H3.5z",
  why: "M9 18h6M10 21h4M8.5 14.5A6 6 0 1 1 15.5 14.5c-.7.6-1 1.3-1 2h-5c0-.7-.3-1.4-1-2z",
  left: "M14.5 6l-6 6 6 6",
  right: "M9.5 6l6 6-6 6",
  chevron: "M6 9.5l6 6 6-6",
  dots: "M5 12h.01M12 12h.01M19 12h.01",
  pin: "M9 4h6l-1 6 3 3H7l3-3zM12 13v7",
  archive: "M4 5h16v4H4zM5.5 9v10h13V9M10 13h4",
  trash: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l4.5 4.5",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  upload: "M12 16V5M7 9l5-5 5 5M5 20h14",
  file: "M7 3h7l4 4v14H7zM14 3v4h4",
  folder: "M4 6h6l2 2.5h8V19H4z",
  library: "M4 4h4v16H4zM8 4h4v16H8zM13.5 5l4-1 3.5 15-4 1z",
  group: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.5-3.4 3-5 6.5-5s6 1.6 6.5 5M15.5 4.5a3.5 3.5 0 0 1 0 6.5M18 15.3c2 .7 3.2 2.2 3.5 4.7",
  user: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM5 20c.6-3.5 3.4-5.5 7-5.5s6.4 2 7 5.5",
  gauge: "M5 18a8 8 0 1 1 14 0M12 15l4-5",
  graph: "M6 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM18 14a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM6 20a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM8 6.5l8 4.5M8 17.5l8-4.5",
  exit: "M10 5H5v14h5M14 8l4 4-4 4M18 12H9",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  sliders: "M4 8h9M17 8h3M4 16h3M11 16h9M15 10.5v-5M9 18.5v-5",
  keyboard: "M3 7h18v10H3zM7 10.5h.01M11 10.5h.01M15 10.5h.01M8 14h8",
  link: "M10 14l9-9M13 5h6v6M18 14v5H5V6h5",
  chat: "M4 5h16v11H10l-4 4v-4H4z",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 2-2 5 5M15.5 9.5h.01",
  tool: "M14.5 6.5a4 4 0 0 0-5.3 5L4 16.7 7.3 20l5.2-5.2a4 4 0 0 0 5-5.3l-2.6 2.6-2.4-.6-.6-2.4z",
  project: "M4 6h6l2 2.5h8V19H4zM8 13h8M8 16h5",
  assistant: "M5 9h14v10H5zM12 9V5M10 5h4M9 13h.01M15 13h.01M10 16h4",
  prompt: "M5 4h14v16H5zM8 8h8M8 12h8M8 16h5",
  clock: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 8v4.5l3 2",
  speak: "M4 10v4h3l5 4V6L7 10zM15.5 9a4.5 4.5 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11",
  mic: "M12 14a3 3 0 0 0 3-3V7a3 3 0 1 0-6 0v4a3 3 0 0 0 3 3zM6 11a6 6 0 0 0 12 0M12 17v3",
  columns: "M4 5h7v14H4zM13 5h7v14h-7z",
  side: "M4 5h16v14H4zM9.5 5v14",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
} as const;

export type IconName = keyof typeof PATHS;

/** A decorative icon: the control around it carries the name. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill={name === "stop" ? "currentColor" : "none"}
      stroke="currentColor"
      strokeWidth={name === "dots" ? 2.6 : 1.7}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
