/** The line at phone width: one decision after another, with what leads to it and what answers. */
import type { LineMap, Passed } from "../../api/types";
import { count, percent } from "../../format";
import { Badge, Bars } from "../../parts";
import { trafficOf } from "./line";

interface Props {
  map: LineMap;
  recipe: LineMap["recipes"][number];
  passed: readonly Passed[];
}

export function AsList({ map, recipe, passed }: Props) {
  const traffic = trafficOf(passed, map);
  const others = [
    { id: "d:", name: "no decision" },
    { id: "d:!", name: "not decided" },
    { id: "d:=", name: "as asked" },
  ].filter(({ id }) => traffic.all.get(id));
  const decisions = recipe.decisions.map((decision) => ({ ...decision, id: `d:${decision.name}` }));
  const rows = [...decisions, ...others.map((one) => ({ ...one, signals: [], models: [] }))];
  rows.sort((a, b) => (traffic.all.get(b.id) ?? 0) - (traffic.all.get(a.id) ?? 0));
  const share = (id: string) => percent((traffic.all.get(id) ?? 0) / (traffic.total || 1), 0);
  return (
    <div className="stack">
      <ul className="line-list">
        {rows.map((row) => (
          <li key={row.id}>
            <div className="row spread">
              <strong>{row.name}</strong>
              <span className="small soft">
                {count(traffic.all.get(row.id) ?? 0)} · {share(row.id)}
              </span>
            </div>
            {(row.signals.length > 0 || row.models.length > 0) && (
              <p className="line-way">
                {row.signals.map((signal) => (
                  <Badge key={signal} tone={traffic.all.get(`s:${signal}`) ? "accent" : "plain"}>
                    {signal}
                  </Badge>
                ))}
                {row.models.length > 0 && <span aria-label="answered by">→</span>}
                {row.models.map((model) => (
                  <span key={model}>{model}</span>
                ))}
              </p>
            )}
          </li>
        ))}
      </ul>
      <h3>Models</h3>
      <Bars
        label="Requests by model"
        bars={map.models.map(({ name }) => {
          const through = traffic.all.get(`m:${name}`) ?? 0;
          return { key: name, label: name, value: through, text: count(through) };
        })}
      />
    </div>
  );
}
