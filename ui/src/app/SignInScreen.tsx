import { useNavigate, useSearch } from "@tanstack/react-router";
import { SignInPage } from "@/features/auth/SignInPage";

export function SignInScreen() {
  const navigate = useNavigate();
  const { to = "/", problem, invitation } = useSearch({ from: "/sign-in" });
  return <SignInPage to={to} problem={problem} invitation={invitation} onDone={() => void navigate({ to })} />;
}
