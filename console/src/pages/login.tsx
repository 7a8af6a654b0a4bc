import { useState } from "react";
import type { Logins } from "../api/types";
import { Button, Notice, TextField, Trouble } from "../parts";
import { useDo, useLoad } from "../load";
import { useSession } from "../session";

/** The only page for somebody we do not know. */
export function Login() {
  const { login, note } = useSession();
  const logins = useLoad<Logins>("/logins");
  const [token, setToken] = useState("");
  const enter = useDo(async () => login(token.trim()));
  const oidc = logins.value?.oidc;
  return (
    <main className="login">
      <div className="login-card">
        <h1 className="login-brand">
          <img src="/console/icon.svg" alt="" width="44" height="44" />
          Wayside
        </h1>
        {note && !enter.error && <Notice>{note}</Notice>}
        {logins.error && <Trouble error={logins.error} again={logins.again} />}
        {oidc && (
          <a className="button primary" href={oidc.url}>
            Log in with {oidc.name}
          </a>
        )}
        {(logins.value?.token ?? true) && (
          <form
            className="stack tight"
            onSubmit={(event) => {
              event.preventDefault();
              void enter.run();
            }}
          >
            <TextField
              label="Token"
              type="password"
              autoComplete="current-password"
              autoFocus
              required
              value={token}
              onChange={(event) => setToken(event.target.value)}
              hint={
                <>
                  <code>wayside serve</code> shows one when it starts, as an address that logs you in. Tokens of the settings work, too.
                </>
              }
            />
            {enter.error && <Trouble error={enter.error} />}
            <Button type="submit" kind={oidc ? "plain" : "primary"} busy={enter.busy}>
              Log in
            </Button>
          </form>
        )}
      </div>
    </main>
  );
}
