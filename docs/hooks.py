"""What mkdocs does to the pages beside its own work: see mkdocs.yml."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ROOT_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
"""Pages of the repository's root, and what the site calls them."""

LINK = re.compile(r"\[([^][]+)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """The root's pages are pages of the site, too."""
    for path, name in ROOT_PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with links that lead somewhere on the site; of one that does not, its text is left."""
    folder = "" if page.file.src_uri in ROOT_PAGES.values() else "docs"

    def site_link(match: re.Match) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        path = posixpath.normpath(posixpath.join(folder, target))  # from the repository's root
        if path in ROOT_PAGES:
            return f"[{text}]({ROOT_PAGES[path]}{anchor})"
        return f"[{text}]({path.removeprefix('docs/')}{anchor})" if path.startswith("docs/") else text

    return LINK.sub(site_link, markdown)
