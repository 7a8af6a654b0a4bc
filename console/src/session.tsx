/** Who is logged in, and what they may. */
import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from "react";
import { api, Refused, setCredentials } from "./api/client";
import type { Me, Role } from "./api/types";

const ROLES: Role[] = ["viewer", "operator", "admin"];

export interface Session {
  /** `null` before a login; `undefined` while we ask. */
  me: Me | null | undefined;
  /** Why somebody has to log in (again), where there is something to say. */
  note: string;
  login: (token: string) => Promise<void>;
  logout: () => Promise<void>;
  may: (role: Role) => boolean;
}

const Context = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("useSession outside SessionProvider");
  return session;
}

/** Pages are drawn only for somebody who is logged in. */
export function useMe(): Me {
  const { me } = useSession();
  if (!me) throw new Error("useMe before a login");
  return me;
}

export function SessionProvider({ children }: { children: ReactNode }) {
  const [me, setMe] = useState<Me | null | undefined>(undefined);
  const [note, setNote] = useState("");

  const expired = useCallback(() => {
    setNote("Your session has ended.");
    setMe(null);
  }, []);
  const found = useCallback(
    (someone: Me | null) => {
      setCredentials(someone?.csrf ?? "", expired);
      setNote("");
      setMe(someone);
    },
    [expired],
  );
  const login = useCallback(async (token: string) => found(await api.post<Me>("/login", { token })), [found]);

  useEffect(() => {
    begin(login, found).catch((error: unknown) => {
      setNote(error instanceof Refused ? `${error.message} ${error.status === 401 ? "" : error.hint}` : String(error));
      setMe(null);
    });
  }, [login, found]);

  const session = useMemo<Session>(
    () => ({
      me,
      note,
      login,
      logout: async () => {
        await api.post("/logout");
        setNote("You are logged out.");
        setMe(null);
      },
      may: (role) => !!me && ROLES.indexOf(me.role) >= ROLES.indexOf(role),
    }),
    [me, note, login],
  );
  return <Context value={session}>{children}</Context>;
}

let begun: Promise<unknown> | null = null;

/** Once per page load, however often React mounts us: a token may be good for one use. */
function begin(login: (token: string) => Promise<void>, found: (me: Me | null) => void): Promise<unknown> {
  begun ??= first(login, found);
  return begun;
}

async function first(login: (token: string) => Promise<void>, found: (me: Me | null) => void): Promise<void> {
  const token = tokenFromAddress();
  if (token) return login(token);
  try {
    found(await api.get<Me>("/me"));
  } catch (error) {
    if (!(error instanceof Refused && error.status === 401)) throw error;
    found(null);
  }
}

/** The token of `/console/#token=...`, which is taken out of the address bar and the history. */
function tokenFromAddress(): string {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found?.[1]) return "";
  history.replaceState(null, "", location.pathname + location.search);
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}
