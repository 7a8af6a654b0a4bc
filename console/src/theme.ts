/** Light or dark: as the system says, until somebody says otherwise in this browser. */

export type Theme = "system" | "light" | "dark";
const KEPT = "wayside.theme";

export function theme(): Theme {
  const kept = read();
  return kept === "light" || kept === "dark" ? kept : "system";
}

export function setTheme(chosen: Theme): void {
  try {
    if (chosen === "system") localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, chosen);
  } catch {
    // A browser that keeps nothing still shows it until the page is left.
  }
  show(chosen);
}

export function startTheme(): void {
  show(theme());
}

function show(chosen: Theme): void {
  if (chosen === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = chosen;
}

function read(): string | null {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}
