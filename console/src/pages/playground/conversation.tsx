/** Where a prompt or a whole conversation is written. */
import { Button, Field } from "../../parts";
import { ROLES, type Message } from "./messages";

interface Props {
  messages: Message[];
  onChange: (messages: Message[]) => void;
  /** Control and Enter. */
  onSend: () => void;
}

export function Conversation({ messages, onChange, onSend }: Props) {
  const last = messages.length - 1;
  const put = (at: number, message: Message) => onChange(messages.map((one, index) => (index === at ? message : one)));
  const next = messages[last]?.role === "user" ? "assistant" : "user";
  return (
    <div className="stack tight">
      {messages.map((message, at) => (
        <div key={at} className={messages.length > 1 ? "turn several" : "turn"}>
          {messages.length > 1 && (
            <div className="row spread">
              <select className="input narrow" aria-label={`Role of turn ${at + 1}`} value={message.role} onChange={(event) => put(at, { ...message, role: event.target.value })}>
                {[...new Set([...ROLES, message.role])].map((role) => (
                  <option key={role}>{role}</option>
                ))}
              </select>
              <Button kind="quiet" aria-label={`Take turn ${at + 1} away`} onClick={() => onChange(messages.filter((_, index) => index !== at))}>
                ✕
              </Button>
            </div>
          )}
          <Field label={messages.length > 1 ? <span className="hidden">Turn {at + 1}</span> : "Prompt"}>
            {(ids) => (
              <textarea
                {...ids}
                className="input prompt"
                rows={at === last ? 4 : 2}
                placeholder={at === last ? "What would somebody ask?" : ""}
                value={message.content}
                data-search={at === last || undefined}
                onChange={(event) => put(at, { ...message, content: event.target.value })}
                onKeyDown={(event) => {
                  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
                  event.preventDefault();
                  onSend();
                }}
              />
            )}
          </Field>
        </div>
      ))}
      <div>
        <Button kind="quiet" onClick={() => onChange([...messages, { role: next, content: "" }])}>
          + Add a turn
        </Button>
      </div>
    </div>
  );
}
