"""What there is: networks, tags, datasets, strategies."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query

from dianne.runtime import listings
from dianne.runtime.server.forms import Name, PathName, Version
from dianne.runtime.server.replies import looked_up
from dianne.runtime.server.services import Services
from dianne.store import Store


def routes(services: Services) -> APIRouter:
    """The routes of what a workspace holds."""
    router = APIRouter(tags=["workspace"])
    folder = services.folder

    @router.get("/models")
    def models() -> list[dict[str, Any]]:
        """The networks of this workspace and those that ship, with their tags."""
        return listings.models(folder)

    @router.get("/tags")
    def tags() -> list[dict[str, Any]]:
        """Stored weights of all networks."""
        return [listings.tag_entry(*one) for one in listings.tags(folder)]

    @router.get("/models/{network}/tags")
    def tags_of(network: PathName) -> list[dict[str, Any]]:
        """Stored weights of one network."""
        with looked_up():
            return [listings.tag_entry(*one) for one in listings.tags(folder, network)]

    @router.get("/models/{network}/history")
    def history(
        network: PathName, tag: Annotated[Name, Query()], newest: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> list[Version]:
        """The weights that a tag names, those before, and what they started from; newest first."""
        with looked_up():
            found = islice(Store(folder.models).history(network, tag), newest)
            return [
                Version(
                    manifest=version, iteration=m.iteration, loss=m.loss, metrics=m.metrics,
                    created=m.created, job=m.job,
                )
                for version, m in found
            ]  # fmt: skip

    @router.get("/datasets")
    def datasets() -> list[dict[str, Any]]:
        """The datasets, and whether their files are here."""
        return listings.datasets(folder)

    @router.get("/strategies")
    def strategies() -> list[dict[str, str]]:
        """The strategies for learning and for evaluation."""
        return listings.strategies(folder)

    return router
