import type { Message, Source, Step, Usage } from "@/shared/api/types";

/** What the server streams during a run, as api.md lists it. */
export type RunEvent =
  | {
      type: "start";
      run_id: string;
      conversation_id: string;
      parent_message_id?: string | null;
      user_message_id: string;
      message_id: string;
      model_source: string;
      model_name: string;
      fallback_from?: string | null;
    }
  | { type: "sources"; sources: Source[]; pending?: string[] }
  | { type: "reasoning"; content: string }
  | { type: "chunk"; content: string }
  | { type: "step"; step: Step }
  | { type: "action"; step_ids: string[] }
  | { type: "resumed"; attempt: number }
  | {
      type: "done";
      message_id: string;
      sources?: Source[] | null;
      steps?: Step[] | null;
      model_source: string;
      model_name: string;
      fallback_from?: string | null;
      finish_reason?: string | null;
      usage?: Usage | null;
      timings?: Message["timings"];
    }
  | { type: "error"; error: { code: string; message: string; request_id?: string | null } };
