import { useNavigate, useRouterState } from "@tanstack/react-router";
import { ResetPage } from "@/features/auth/ResetPage";

export function ResetScreen() {
  const navigate = useNavigate();
  const token = useRouterState({ select: (state) => state.location.hash });
  return <ResetPage token={token} onDone={() => void navigate({ to: "/sign-in" })} />;
}
