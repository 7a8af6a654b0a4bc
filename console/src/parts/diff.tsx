/** A unified diff, coloured; signs stay, so that it reads without colour and copies as it is. */
export function Diff({ text, label = "Changes" }: { text: string; label?: string }) {
  const lines = text.replace(/\n$/, "").split("\n");
  return (
    <pre className="diff" tabIndex={0} role="group" aria-label={label}>
      {lines.map((line, index) => (
        <span key={index} className={kindOf(line)}>
          {line || " "}
          {"\n"}
        </span>
      ))}
    </pre>
  );
}

function kindOf(line: string): string {
  if (line.startsWith("+++") || line.startsWith("---") || line.startsWith("@@")) return "about";
  if (line.startsWith("+")) return "added";
  if (line.startsWith("-")) return "removed";
  return "";
}
