"""What the picture of the line is drawn from."""

from __future__ import annotations

from tests.console.data_rig import CONFIG, console


async def test_signals_decisions_models_and_servers() -> None:
    async with console() as rig:
        status, told = await rig.get("/map")
        assert status == 200
        (recipe,) = told["recipes"]
        assert recipe["name"] == "default"
        assert {"kind": "keyword", "name": "polite"} in recipe["signals"]
        court = next(d for d in recipe["decisions"] if d["name"] == "court")
        assert court["signals"] == ["domain:law", "keyword:polite"]
        assert court["models"] == ["free", "coder"] and court["plugins"] == ["router_replay"]
        assert court["priority"] == 5 and court["algorithm"] == "static"
        models = {m["name"]: m for m in told["models"]}
        assert models["coder"]["endpoints"] == ["127.0.0.1:2", "127.0.0.1:3"]
        assert models["coder"]["local"] is True


async def test_a_decision_without_models_leads_to_the_default() -> None:
    config = CONFIG + "    - {name: rest, priority: 0}\n"
    async with console(config) as rig:
        (recipe,) = (await rig.get("/map"))[1]["recipes"]
        assert recipe["decisions"][-1]["models"] == ["small"]
