"""llm-katan's image, built in the cluster: an ImageStream, and a BuildConfig that fills it.

Nobody publishes a pinned image of llm-katan, and OpenShift can build one from five lines. The
build begins when the BuildConfig is made, and again when what it says changes: never because a
script is run once more.
"""

from __future__ import annotations

from typing import Final

from wayside.deploy import DEPLOYMENT, Object, Scene
from wayside.deploy.intent import Intent
from wayside.deploy.parts.meta import object_
from wayside.vocab.objects import section, texts
from wayside.vocab.resource import Resource

STREAMS: Final = Resource("image.openshift.io", "v1", "imagestreams")
BUILDS: Final = Resource("build.openshift.io", "v1", "buildconfigs")
NAME: Final = "llm-katan"
VERSION: Final = "0.22.0"
"""Of PyPI, and the image's tag."""
BASE: Final = "registry.access.redhat.com/ubi9/python-312:9.6"
REGISTRY: Final = "image-registry.openshift-image-registry.svc:5000"
"""OpenShift's own registry, as pods of every namespace reach it."""
DOCKERFILE: Final = f"""\
FROM {BASE}
RUN pip install --no-cache-dir 'llm-katan[transformers]=={VERSION}'
EXPOSE 8000
ENTRYPOINT ["llm-katan"]
"""


def image(intent: Intent) -> str:
    """The image, as a Deployment names it."""
    return f"{REGISTRY}/{intent.namespace}/{NAME}:{VERSION}"


def wanted(intent: Intent) -> bool:
    """Whether some model is run by llm-katan and names no image."""
    return any(m.run == "llm-katan" and not m.image for m in intent.models.values())


def there(intent: Intent, scene: Scene) -> bool:
    """Whether the namespace has an ImageStream of that name that is not this deployment's: it is
    used as it is."""
    found = scene.get(STREAMS, NAME, intent.namespace)
    labels = texts(section(found, "metadata", "labels"))
    return found is not None and labels.get(DEPLOYMENT) != intent.name


def objects(intent: Intent) -> tuple[Object, ...]:
    """The ImageStream and the BuildConfig."""
    stream = object_(
        intent,
        STREAMS.api_version,
        "ImageStream",
        NAME,
        component=NAME,
        spec={"lookupPolicy": {"local": True}},
    )
    build = object_(
        intent,
        BUILDS.api_version,
        "BuildConfig",
        NAME,
        component=NAME,
        spec={
            "source": {"type": "Dockerfile", "dockerfile": DOCKERFILE},
            "strategy": {"type": "Docker", "dockerStrategy": {}},
            "output": {"to": {"kind": "ImageStreamTag", "name": f"{NAME}:{VERSION}"}},
            "triggers": [{"type": "ConfigChange"}],
            "runPolicy": "Serial",
            "successfulBuildsHistoryLimit": 2,
            "failedBuildsHistoryLimit": 2,
            "resources": {"requests": {"cpu": "1", "memory": "2Gi"}},
        },
    )
    return stream, build
