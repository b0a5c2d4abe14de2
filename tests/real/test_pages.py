"""What the pages name is there: files and sections that they link to, and paths of this repository in their text."""
import glob
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import service

PAGES = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md",
         *sorted(glob.glob("docs/*.md", root_dir=service.ROOT))]
LINK = re.compile(r"\]\(([^()\s]+)\)")
# Words of commands and of code in the text that begin with a folder of this repository.
PATH = re.compile(r"(?<![^\s`'\"(=])((?:api|deploy|docker|docs|probe|server|tests)/[^\s`'\",;:()]*)")
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def read(page):
    with open(os.path.join(service.ROOT, page), encoding="utf-8") as file:
        return file.read()


def prose(page):
    """The page without fenced blocks."""
    return FENCED.sub("", read(page))


def anchors(page):
    """What can stand behind `#`: the headings in small letters, without punctuation, with hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class PagesTest(unittest.TestCase):
    def test_links(self):
        followed = 0
        for page in PAGES:
            for link in LINK.findall(prose(page)):
                if re.match(r"[a-z]+:", link):
                    continue
                with self.subTest(page=page, link=link):
                    path, _, anchor = link.partition("#")
                    target = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
                    self.assertTrue(os.path.exists(os.path.join(service.ROOT, target)), "no such file")
                    if anchor:
                        self.assertIn(anchor, anchors(target))
                followed += 1
        self.assertGreater(followed, 20)

    def test_paths_in_the_text(self):
        found = set()
        for page in PAGES:
            for path in PATH.findall(LINK.sub("]", read(page))):
                with self.subTest(page=page, path=path):
                    self.assertTrue(glob.glob(path.rstrip("."), root_dir=service.ROOT), "no such file")
                found.add(path)
        self.assertGreater(len(found), 50)

    def test_every_page_can_be_reached_from_the_readme(self):
        linked = {link.partition("#")[0] for link in LINK.findall(prose("README.md"))}
        self.assertEqual([page for page in PAGES if page.startswith("docs/") and page not in linked], [])


if __name__ == "__main__":
    unittest.main()
