import type { Assistant } from "@/shared/api/types";
import "./assistants.css";

interface AssistantPictureProps {
  assistant: Pick<Assistant, "name" | "picture">;
  small?: boolean;
}

/** An assistant's picture, or the first letter of its name. */
export function AssistantPicture({ assistant: { name, picture }, small = false }: AssistantPictureProps) {
  const look = `assistant-picture ${small ? "assistant-picture--small" : ""}`;
  if (picture) return <img className={look} src={picture} alt="" />;
  return (
    <span className={look} aria-hidden="true">
      {[...name.trim()][0]?.toUpperCase()}
    </span>
  );
}
