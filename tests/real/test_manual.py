"""What an operator reads of the options is the same everywhere: in --help, the README, imap-testd(8) and the file of
variables of the Debian package. The manual page is sound, and names every resource."""
import os
import re
import shutil
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import service

# Where the build writes the manual page and the variables.
PAGES = os.environ.get("IMAP_TESTD_PAGES", os.path.join(service.ROOT, "build", "package"))
PAGE = os.path.join(PAGES, "imap-testd.8")

ROW = re.compile(r"^  --([a-z0-9-]+)(?: (\S+))?  +(\S.*)$")
DEFAULT = re.compile(r" \(default: ([^()]*)\)$")
# These do without a variable: they end the program at once.
COMMAND_LINE_ONLY = {"health-check", "help", "version"}
# From this one on options are for one call from the command line.
FIRST_OF_A_CALL = "check"


def output_of(*command):
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as text:
        return text.read()


def variable_of(name):
    return "IMAP_TEST_" + name.upper().replace("-", "_")


def rows_of(text):
    """The rows of --help: name, argument or None, description with the default."""
    return [match.groups() for match in map(ROW.match, text.splitlines()) if match]


class OptionsTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.help = output_of(service.binary(), "--help")
        cls.rows = rows_of(cls.help)

    def test_every_line_of_an_option_was_understood(self):
        self.assertEqual(len(self.rows), len(re.findall(r"^ *--", self.help, re.MULTILINE)))
        self.assertGreater(len(self.rows), 25)

    def test_readme(self):
        readme = read(service.ROOT, "README.md")
        block = re.search(r"^## Options\n.*?^```\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
        lines = [line for line in self.help.splitlines() if line.startswith("  --")]
        self.assertEqual(block.group(1).splitlines(), lines)

    @unittest.skipUnless(shutil.which("mandoc"), "needs mandoc")
    def test_manual_page(self):
        """As a reader sees it; `--` stands at the margin of the section where an option begins."""
        page = re.sub(r".\x08", "", output_of("mandoc", "-T", "ascii", "-O", "width=1000,indent=5", PAGE))
        options = re.search(r"^OPTIONS\n(.*?)^[A-Z]", page, re.MULTILINE | re.DOTALL).group(1)
        _, *shown = re.split(r"^ {5}--", options, flags=re.MULTILINE)
        self.assertEqual(len(shown), len(self.rows))
        for (name, argument, description), paragraph in zip(self.rows, shown):
            with self.subTest(option=name):
                begin = " ".join(filter(None, [name, argument, description])) + " "
                text = " ".join(paragraph.split())
                self.assertEqual(text[:len(begin)], begin)
                variable = "In the environment: %s(=true)?" % variable_of(name)
                rest = r"On the command line only\." if name in COMMAND_LINE_ONLY else variable
                self.assertRegex(text[len(begin):], r"^(From \d+ to \d+\. )?%s$" % rest)

    def test_variables_of_the_package(self):
        names = [name for name, _, _ in self.rows]
        expected = []
        for name, argument, description in self.rows[:names.index(FIRST_OF_A_CALL)]:
            # Only a default that is a value stands there, none in words such as `number of cores`.
            default = DEFAULT.search(description)
            value = default.group(1) if default and " " not in default.group(1) else ""
            without = description[:default.start()] if value else description
            expected.append("# --%s%s: %s" % (name, " " + argument if argument else "", without))
            expected.append("#%s=%s" % (variable_of(name), value))
        lines = [line for line in read(PAGES, "default").splitlines() if re.match(r"# --|#IMAP|[^#]", line)]
        self.assertEqual(lines, expected)

    def test_the_service_starts_with_every_variable_of_the_package(self):
        variables = dict(line[1:].split("=", 1) for line in read(PAGES, "default").splitlines()
                         if line.startswith("#IMAP_TEST_"))
        with service.Service(environment=variables) as running:
            self.assertEqual(running.get("/readyz").status, 200)
            self.assertEqual(running.events("unknown_variable"), [])


class PageTest(case.Case):
    def complaints(self, *command):
        done = subprocess.run([*command, PAGE], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              encoding="utf-8", env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""})
        return done.returncode, done.stdout

    @unittest.skipUnless(shutil.which("groff"), "needs groff")
    def test_groff_has_no_complaint(self):
        self.assertEqual(self.complaints("groff", "-man", "-ww", "-z"), (0, ""))

    @unittest.skipUnless(shutil.which("man") and shutil.which("groff"), "needs man and groff")
    def test_man_shows_it(self):
        done = subprocess.run(["man", "--warnings", "-l", PAGE], capture_output=True, check=False, encoding="utf-8",
                              env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("--max-in-flight N", done.stdout)

    @unittest.skipUnless(shutil.which("mandoc"), "needs mandoc")
    def test_mandoc_has_no_complaint(self):
        self.assertEqual(self.complaints("mandoc", "-T", "lint"), (0, ""))

    def test_sections(self):
        sections = re.findall(r"^\.SH (.*)$", read(PAGE), re.MULTILINE)
        self.assertEqual(sections, ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES",
                                    "SIGNALS", "HTTP RESOURCES", "EXAMPLES", "SEE ALSO"])

    def test_version(self):
        program, version = output_of(service.binary(), "--version").split()
        self.assertIn('"%s %s"' % (program, version), read(PAGE).replace("\\-", "-").splitlines()[0])

    def test_every_resource_is_named(self):
        """None is taken away again: the contract only grows."""
        paths = yaml.safe_load(read(service.ROOT, "openapi.yaml"))["paths"]
        resources = re.search(r"^\.SH HTTP RESOURCES\n(.*?)^\.SH", read(PAGE), re.MULTILINE | re.DOTALL).group(1)
        named = re.findall(r"GET (/[^\s?\"]*)", resources.replace("\\-", "-"))
        self.assertEqual(set(paths) - set(named), set())


if __name__ == "__main__":
    case.main()
