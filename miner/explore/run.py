"""`miner explore`: a page on which rules and bands are tried, until Ctrl-C."""

from typing import TYPE_CHECKING

from miner.api.opened import open_workspace
from miner.artifacts.workspace import Workspace
from miner.engine import Result
from miner.explore.options import ExploreOptions
from miner.server.serving import require_server, serve_page, tell
from miner.text import counted

if TYPE_CHECKING:
    from starlette.applications import Starlette


def explore(options: ExploreOptions, workspace: Workspace) -> Result:
    """Serve the page until Ctrl-C. The next command mines by the choice that was saved last, if there is one.

    Raises:
        MinerError: there are no embeddings, or no images; the extra is not installed, or the address cannot be used.
    """
    require_server("explore")

    from miner.explore.api import explore_app
    from miner.explore.search import Search
    from miner.server.images import ImageStore

    opened = open_workspace(workspace.root)
    store = opened.embeddings
    store.manifest.source.require_images()
    search, commands = Search(store, options.device), [""]
    images = ImageStore(workspace, store.manifest.source, store.metadata, small=True)

    def used(command: str) -> None:
        commands.append(command)
        tell(f"explore: saved in {workspace.explored}; next, {command}")

    def app(token: str | None) -> "Starlette":
        return explore_app(opened, search, images, options.host, token, used)

    search.start()
    facts = (
        f"{counted(len(store), 'image')} of {store.manifest.source.spec}; nothing changes until you choose `Use this`"
    )
    serve_page("explore", options, app, images, facts, "people who may change explored.yaml")
    saved = {"saved": str(workspace.explored)} if commands[-1] else {}
    return Result("explore", saved, next_command=commands[-1])
