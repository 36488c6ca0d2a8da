import { useNavigate, useSearch } from "@tanstack/react-router";
import { SignInPage } from "@/features/auth/SignInPage";

export function SignInScreen() {
  const navigate = useNavigate();
  const { to } = useSearch({ from: "/sign-in" });
  return <SignInPage onDone={() => void navigate({ href: to ?? "/" })} />;
}
