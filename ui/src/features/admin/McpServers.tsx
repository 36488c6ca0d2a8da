import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { groupsQuery } from "@/shared/api/groups";
import type { Group, McpServer } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { FormActions } from "@/shared/ui/FormActions";
import { Button, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { formText } from "@/shared/ui/formText";
import { Icon } from "@/shared/ui/Icon";
import { Menu, MenuItem } from "@/shared/ui/Menu";
import { Modal } from "@/shared/ui/Modal";
import { mcpServersQuery, useChangeMcpServer, useDeleteMcpServer, useSaveMcpServer } from "./api";

const TRANSPORTS = ["streamable_http", "sse"] as const;
const APPROVALS = ["per_tool", "always", "never"] as const;

/** Servers whose tools the models may call. */
export function McpServers() {
  const t = useT();
  const { data, error } = useQuery(mcpServersQuery);
  const [editing, setEditing] = useState<McpServer | "new" | null>(null);
  const [deleting, setDeleting] = useState<McpServer | null>(null);
  const change = useChangeMcpServer();
  const failed = error ?? change.error;
  return (
    <>
      <p>{t("mcp.explain")}</p>
      {failed && <ErrorNotice error={failed} />}
      <ul className="users">
        {data?.items.map((server) => (
          <ServerRow
            key={server.id}
            server={server}
            onEdit={() => setEditing(server)}
            onDelete={() => setDeleting(server)}
            onChange={(part) => change.mutate({ id: server.id, ...part })}
          />
        ))}
      </ul>
      <Button icon="plus" onClick={() => setEditing("new")}>
        {t("mcp.add")}
      </Button>
      {editing && <ServerDialog server={editing === "new" ? null : editing} onClose={() => setEditing(null)} />}
      {deleting && <DeleteDialog server={deleting} onClose={() => setDeleting(null)} />}
    </>
  );
}

interface ServerRowProps {
  server: McpServer;
  onEdit: () => void;
  onDelete: () => void;
  onChange: (part: { enabled?: boolean; tool_approval?: Record<string, boolean> }) => void;
}

function ServerRow({ server, onEdit, onDelete, onChange }: ServerRowProps) {
  const t = useT();
  const { dateTime } = useFormats();
  const { name, url, status, error, tools, checked_at } = server;
  const looks = { ok: "badge badge--ok", error: "badge badge--danger", disabled: "badge" }[status];
  return (
    <li className="user">
      <span className="user__name">
        <strong>{name}</strong>
        <small>
          {url}
          {checked_at && <> · {t("mcp.asked", { time: dateTime(checked_at) })}</>}
        </small>
        {error && <small className="mcp__error">{error}</small>}
      </span>
      <span className={looks}>{t(`mcp.status.${status}`)}</span>
      <Menu
        trigger={
          <button type="button" className="icon-button" aria-label={t("admin.actions", { name })}>
            <Icon name="dots" />
          </button>
        }
      >
        <MenuItem onSelect={onEdit}>{t("mcp.edit")}</MenuItem>
        <MenuItem onSelect={() => onChange({})}>{t("mcp.ask")}</MenuItem>
        <MenuItem onSelect={() => onChange({ enabled: status === "disabled" })}>
          {t(status === "disabled" ? "mcp.enable" : "mcp.disable")}
        </MenuItem>
        <MenuItem onSelect={onDelete}>{t("app.delete")}</MenuItem>
      </Menu>
      {tools.length > 0 && <ServerTools server={server} onChange={onChange} />}
    </li>
  );
}

function ServerTools({ server, onChange }: { server: McpServer; onChange: ServerRowProps["onChange"] }) {
  const t = useT();
  // Shown at once: the server is asked before the change is confirmed.
  const [said, setSaid] = useState<Record<string, boolean>>({});
  const asks = Object.fromEntries(server.tools.map((tool) => [tool.name, said[tool.name] ?? tool.needs_approval]));
  function change(name: string, waits: boolean) {
    setSaid((before) => ({ ...before, [name]: waits }));
    onChange({ tool_approval: { ...asks, [name]: waits } });
  }
  return (
    <details className="mcp__tools">
      <summary>{t("mcp.tools", { count: server.tools.length })}</summary>
      <ul>
        {server.tools.map((tool) => (
          <li key={tool.name}>
            <span>
              {tool.title} <small>{tool.description}</small>
            </span>
            <label className="check">
              <input
                type="checkbox"
                aria-label={`${t("tools.asks")}: ${tool.title}`}
                checked={server.approval === "per_tool" ? asks[tool.name] : tool.needs_approval}
                disabled={server.approval !== "per_tool"}
                onChange={({ target }) => change(tool.name, target.checked)}
              />
              {t("tools.asks")}
            </label>
          </li>
        ))}
      </ul>
    </details>
  );
}

function ServerDialog({ server, onClose }: { server: McpServer | null; onClose: () => void }) {
  const t = useT();
  const save = useSaveMcpServer();
  const { data: groups = [] } = useQuery(groupsQuery);
  const [allowed, setAllowed] = useState(server?.allowed_groups ?? null);

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const text = (name: string): string => formText(data, name) ?? "";
    const headers = text("header") ? { headers: { [text("header")]: text("value") } } : {};
    save.mutate(
      {
        ...(server ? { id: server.id } : {}),
        name: text("name"),
        url: text("url"),
        transport: TRANSPORTS.find((each) => each === text("transport")) ?? "streamable_http",
        approval: APPROVALS.find((each) => each === text("approval")) ?? "per_tool",
        user_header: text("user_header") || null,
        enabled: server?.enabled ?? true,
        allowed_groups: allowed,
        ...headers,
      },
      { onSuccess: onClose },
    );
  }

  return (
    <Modal title={t(server ? "mcp.edit" : "mcp.add")} onClose={onClose}>
      <form className="dialog-form" onSubmit={submit}>
        {save.error && <ErrorNotice error={save.error} />}
        <Field
          label={t("mcp.name")}
          name="name"
          hint={t("mcp.nameHint")}
          pattern="[a-z][a-z0-9\-]{0,23}"
          defaultValue={server?.name}
          required
        />
        <Field label={t("mcp.url")} name="url" type="url" placeholder="https://tools.example.com/mcp" defaultValue={server?.url} required />
        <fieldset className="choices">
          <legend>{t("mcp.transport")}</legend>
          {TRANSPORTS.map((each) => (
            <label key={each} className="choice">
              <input
                type="radio"
                name="transport"
                value={each}
                defaultChecked={(server?.transport ?? "streamable_http") === each}
              />
              {each === "sse" ? "SSE" : "Streamable HTTP"}
            </label>
          ))}
        </fieldset>
        <Field label={t("mcp.header")} name="header" placeholder="Authorization" hint={secretHint(t, server)} />
        <Field label={t("mcp.value")} name="value" type="password" autoComplete="off" />
        <Field
          label={t("mcp.userHeader")}
          name="user_header"
          placeholder="X-User-Email"
          hint={t("mcp.userHeaderHint")}
          defaultValue={server?.user_header ?? ""}
        />
        {groups.length > 0 && <AllowedGroups groups={groups} allowed={allowed} onChange={setAllowed} />}
        <fieldset className="choices choices--list">
          <legend>{t("mcp.approval")}</legend>
          {APPROVALS.map((each) => (
            <label key={each} className="choice">
              <input
                type="radio"
                name="approval"
                value={each}
                defaultChecked={(server?.approval ?? "per_tool") === each}
              />
              {t(`mcp.approval.${each}`)}
            </label>
          ))}
        </fieldset>
        <FormActions onCancel={onClose} disabled={save.isPending} />
      </form>
    </Modal>
  );
}

interface AllowedGroupsProps {
  groups: Group[];
  allowed: string[] | null;
  onChange: (allowed: string[] | null) => void;
}

/** Whether everybody may use a server's tools, or the members of some groups alone. */
function AllowedGroups({ groups, allowed, onChange }: AllowedGroupsProps) {
  const t = useT();
  return (
    <fieldset className="choices choices--list">
      <legend>{t("mcp.allowed")}</legend>
      <label className="choice">
        <input type="checkbox" checked={allowed === null} onChange={({ target }) => onChange(target.checked ? null : [])} />
        {t("mcp.everybody")}
      </label>
      {allowed !== null &&
        groups.map(({ id, name }) => (
          <label key={id} className="choice">
            <input
              type="checkbox"
              checked={allowed.includes(id)}
              onChange={({ target }) =>
                onChange(target.checked ? [...allowed, id] : allowed.filter((other) => other !== id))
              }
            />
            {name}
          </label>
        ))}
    </fieldset>
  );
}

const secretHint = (t: ReturnType<typeof useT>, server: McpServer | null): string =>
  server && server.header_names.length > 0
    ? t("mcp.headerKept", { names: server.header_names.join(", ") })
    : t("mcp.headerHint");

function DeleteDialog({ server, onClose }: { server: McpServer; onClose: () => void }) {
  const t = useT();
  const remove = useDeleteMcpServer();
  return (
    <ConfirmDialog
      title={t("mcp.delete", { name: server.name })}
      text={t("mcp.deleteExplain")}
      work={remove}
      onConfirm={() => remove.mutate(server.id, { onSuccess: onClose })}
      onClose={onClose}
    />
  );
}
