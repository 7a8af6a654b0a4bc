/** A description of the catalog: plain text in which `code` is marked by backticks. */

import type { ReactNode } from "react";

export function Prose({ text }: { text: string }): ReactNode {
  return text.split(/(``[^`]+``|`[^`]+`)/).map((part, i) => {
    const code = /^`+([^`]+)`+$/.exec(part);
    return code ? <code key={i}>{code[1]}</code> : part;
  });
}
