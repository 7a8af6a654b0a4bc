"""Files for an Envoy in the router's own pod, written by the router whenever it changes its mind.

Envoy follows them (:mod:`wayside.envoy.pod`), so one configuration file is enough for both: what
is edited in its ConfigMap reaches Envoy's clusters in the same moment as the router's decisions.
"""

from __future__ import annotations

from pathlib import Path

from wayside.cli.app import App
from wayside.cli.behind_envoy import patient
from wayside.envoy.pod import Ports, files
from wayside.manifests.mounted import Mounted
from wayside.vocab.errors import ConfigError

ORDER = ("clusters.yaml", "routes.yaml", "listeners.yaml", "envoy.yaml")
"""After the certificates. What is referred to is there before what refers to it."""


class EnvoyFiles:
    """The files in ``folder``, as the settings of ``app`` want them."""

    def __init__(self, app: App, folder: Path, ports: Ports) -> None:
        self._app, self._folder, self._ports = app, folder, ports

    def write(self) -> None:
        """Put each file that is another in its place at once: Envoy watches for renames. Raises
        :class:`ConfigError` where the folder cannot be written."""
        found = files(
            patient(self._app),
            self._ports,
            folder=str(self._folder),
            followed=Mounted.FOLDER,
            mounted=False,
        )
        try:
            for name in (*sorted(set(found).difference(ORDER)), *ORDER):
                self._put(self._folder / name, found[name])
        except OSError as error:
            raise ConfigError.one(
                f"cannot be written: {error.strerror}",
                where=str(self._folder),
                fix="give --envoy-files a folder that the router may write to",
            ) from error

    def follow(self) -> None:
        """Write them anew; for :attr:`App.on_reload`, so what goes wrong is told, not raised."""
        try:
            self.write()
        except ConfigError as error:
            self._app.refuse(error)

    @staticmethod
    def _put(path: Path, text: str) -> None:
        if path.is_file() and path.read_text() == text:
            return
        half = path.with_name(f".{path.name}")
        half.write_text(text)
        half.replace(path)
