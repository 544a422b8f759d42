"""Instances: deploy, look, undeploy. Forwarding is in `forwarding`."""

from __future__ import annotations

from fastapi import APIRouter

from dianne.runtime import deployments
from dianne.runtime.live import Live
from dianne.runtime.server.forms import Deployment, InstanceForm, PathName
from dianne.runtime.server.replies import looked_up
from dianne.runtime.server.services import Services


def routes(services: Services) -> APIRouter:
    """The routes of deployed networks."""
    router = APIRouter(tags=["instances"])
    live = services.instances

    @router.get("/instances")
    def instances() -> list[InstanceForm]:
        """The deployed networks that are up."""
        names = deployments.names(services.folder)
        return [described(found) for name in names if (found := live.ready(name))]

    @router.post("/instances", status_code=201)
    def deploy(wanted: Deployment) -> InstanceForm:
        """Bring a network up with the weights of a tag, which it follows from then on."""
        return described(live.deploy(wanted.network, wanted.tag, wanted.name))

    @router.get("/instances/{name}")
    def instance(name: PathName) -> InstanceForm:
        """A deployed network, and the weights that it has now."""
        with looked_up():
            return described(live.get(name))

    @router.delete("/instances/{name}", status_code=204)
    def undeploy(name: PathName) -> None:
        """Let a deployed network go; its weights stay."""
        with looked_up():
            live.undeploy(name)

    return router


def described(live: Live) -> InstanceForm:
    """An instance as it is now."""
    deployed = live.deployed
    instance, manifest = deployed.instance, deployed.manifest
    return InstanceForm(
        name=instance.name, network=instance.network, tag=instance.tag, manifest=deployed.version,
        iteration=manifest.iteration, dataset=manifest.dataset.get("name"),
        input_dims=list(deployed.input_dims), labels=manifest.labels,
    )  # fmt: skip
