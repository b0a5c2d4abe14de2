"""docker/ and deploy/kubernetes/, as far as they can be read: what they may, whom they reach, and that they fit the
program and each other. tests/image/run builds and runs the images."""
import collections
import glob
import http.client
import ipaddress
import os
import re
import subprocess
import sys
import unittest
import unittest.mock

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import proxy
import service

DOCKER = os.path.join(service.ROOT, "docker")
KUBERNETES = os.path.join(service.ROOT, "deploy", "kubernetes")
IMAP_PORTS = {143, 993}

# How long the last answers may take to be written, after the grace of the tests (server/main.c).
LAST_ANSWERS_S = 10


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as text:
        return text.read()


def program(*arguments):
    return subprocess.run([service.binary(), *arguments], capture_output=True, check=True, encoding="utf-8").stdout


def defaults():
    """Each option's variable and default as --help tells them, None without one."""
    found = re.findall(r"^ +--([a-z0-9-]+)(.*?)(?:\(default: (.+)\))?$", program("--help"), re.MULTILINE)
    return {"IMAP_TEST_" + name.upper().replace("-", "_"): default or None for name, _, default in found}


def stages():
    """The stages of the Dockerfile: name, what it stands on, its instructions."""
    parts = re.split(r"^FROM (\S+) AS (\w+)\n", read(DOCKER, "Dockerfile").replace("\\\n", " "), flags=re.MULTILINE)
    return {name: (base, text) for base, name, text in zip(parts[1::3], parts[2::3], parts[3::3])}


def user_of(stage):
    (user,) = re.findall(r"^USER (\d+):(\d+)$", stages()[stage][1], re.MULTILINE)
    return tuple(int(number) for number in user)


class ImageTest(case.Case):
    @unittest.skipUnless(os.path.exists("/usr/bin/dpkg-query") and os.path.exists("/usr/bin/readelf"), "needs binutils")
    def test_packages_of_the_image_are_those_linked(self):
        dynamic = subprocess.run(["readelf", "-d", service.binary()], capture_output=True, check=True,
                                 encoding="utf-8").stdout
        linked = set()
        for library in re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic):
            owner = subprocess.run(["dpkg-query", "-S", "*/" + library], capture_output=True, check=True,
                                   encoding="utf-8").stdout
            linked |= {line.partition(":")[0] for line in owner.splitlines()}
        installed = re.search(r"--no-install-recommends([^&]+)&&", stages()["service"][1]).group(1).split()
        # Those of every program, and the sanitizers of some builds.
        known = re.compile(r"libc6|libgcc-s|lib(32|x32)?(a|t|ub)san")
        self.assertEqual(set(installed), {name for name in linked if not known.match(name)})
        self.assertIn("/etc/ssl/certs/ca-certificates.crt", stages()["service"][1])

    def test_neither_image_runs_as_root(self):
        for name in ("service", "proxy"):
            self.assertNotIn(0, user_of(name))
            self.assertEqual(stages()[name][0], "plain")

    def test_the_version_is_the_programs(self):
        (version,) = re.findall(r"^ARG VERSION=(\S+)$", read(DOCKER, "Dockerfile"), re.MULTILINE)
        self.assertEqual(program("--version").split()[1], version)

    def test_the_health_check_asks_the_address_that_is_served(self):
        text = stages()["service"][1]
        (port,) = re.findall(r"^EXPOSE (\d+)$", text, re.MULTILINE)
        self.assertIn("ENV IMAP_TEST_LISTEN=0.0.0.0:%s\n" % port, text)
        self.assertEqual(defaults()["IMAP_TEST_LISTEN"].rpartition(":")[2], port)
        self.assertRegex(text, r"HEALTHCHECK .*CMD \[\"/usr/local/bin/imap-testd\", \"--health-check\"\]")

    def test_no_architecture_is_named(self):
        for name in os.listdir(DOCKER):
            self.assertNotRegex(re.sub(r"^#.*$", "", read(DOCKER, name), flags=re.MULTILINE),
                                r"(?i)amd64|x86|arm64|aarch64", name)

    def test_every_unit_test_is_in_the_context(self):
        kept = {line[1:] for line in read(DOCKER, "Dockerfile.dockerignore").splitlines() if line.startswith("!")}
        for path in glob.glob(os.path.join(service.ROOT, "tests", "*", "test_*.c")):
            self.assertIn(os.path.relpath(os.path.dirname(path), service.ROOT), kept)


class ComposeTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.compose = yaml.safe_load(read(DOCKER, "compose.yaml"))
        cls.services = cls.compose["services"]
        cls.proxies = {name: one for name, one in cls.services.items() if one["build"]["target"] == "proxy"}

    def test_what_the_containers_may(self):
        for name, container in self.services.items():
            self.assertTrue(container["read_only"], name)
            self.assertEqual(container["cap_drop"], ["ALL"], name)
            self.assertEqual(container["security_opt"], ["no-new-privileges:true"], name)
            self.assertFalse({"cap_add", "privileged", "devices", "network_mode", "pid", "user"} & set(container))
            for volume in container.get("volumes", []):
                self.assertTrue(volume["read_only"], name)
            for bound in ("pids_limit", "mem_limit", "ulimits"):
                self.assertIn(bound, container, name)
            self.assertEqual(container["mem_limit"], container["memswap_limit"])
            if name in self.proxies:
                self.assertRegex(container["tmpfs"][0], r"\A/tmp:uid=%d,gid=%d,mode=0700," % user_of("proxy"))
        inner = self.services["imap-testd"]
        self.assertFalse({"tmpfs", "volumes"} & set(inner))
        grace = int(defaults()["IMAP_TEST_GRACE_MS"]) / 1000
        self.assertGreater(int(inner["stop_grace_period"].rstrip("s")), grace + LAST_ANSWERS_S)
        (longest,) = re.findall(r"^ *proxy_read_timeout (\d+)s;$", read(DOCKER, "nginx.conf"), re.MULTILINE)
        for front in self.proxies.values():
            self.assertGreater(int(front["stop_grace_period"].rstrip("s")), int(longest))

    def test_only_the_proxies_are_reached(self):
        self.assertEqual(sorted(self.proxies), ["nginx", "nginx-tls"])
        inner = self.services["imap-testd"]
        self.assertNotIn("ports", inner)
        self.assertTrue(self.compose["networks"]["inside"]["internal"])
        for proxy in self.proxies.values():
            self.assertEqual(set(inner["networks"]) & set(proxy["networks"]), {"inside"})
        self.assertEqual(self.services["nginx"]["ports"], ["127.0.0.1:8080:8080"], "plain HTTP for this machine alone")

    def test_the_proxies_are_named_to_the_service(self):
        """None of the addresses that replicas are given may be a proxy's."""
        (pool,) = self.compose["networks"]["inside"]["ipam"]["config"]
        trusted = {ipaddress.ip_network(one)
                   for one in self.services["imap-testd"]["environment"]["IMAP_TEST_TRUSTED_PROXY"].split()}
        addresses = {ipaddress.ip_address(one["networks"]["inside"]["ipv4_address"]) for one in self.proxies.values()}
        self.assertEqual(trusted, {ipaddress.ip_network(one) for one in addresses})
        self.assertEqual(len(addresses), len(self.proxies))
        for address in addresses | {ipaddress.ip_address(pool["gateway"])}:
            self.assertIn(address, ipaddress.ip_network(pool["subnet"]))
            self.assertNotIn(address, ipaddress.ip_network(pool["ip_range"]))

    def test_replicas(self):
        inner = self.services["imap-testd"]
        self.assertRegex(inner["deploy"]["replicas"], r"\A\$\{REPLICAS:-([2-9])\}\Z")
        self.assertFalse({"container_name", "command", "healthcheck", "hostname"} & set(inner))
        self.assertLessEqual(set(inner["environment"]), set(defaults()))
        for proxy in self.proxies.values():
            self.assertEqual(proxy["depends_on"]["imap-testd"]["condition"], "service_healthy")
        (server,) = re.findall(r"^ *server (\S+);$", read(DOCKER, "nginx-upstream.conf"), re.MULTILINE)
        self.assertEqual(server, "imap-testd:" + defaults()["IMAP_TEST_LISTEN"].rpartition(":")[2])

    def test_https_serves_the_operators_certificate(self):
        proxy = self.services["nginx-tls"]
        self.assertEqual(proxy["profiles"], ["tls"])
        targets = {volume["target"]: volume for volume in proxy["volumes"]}
        listen = targets["/etc/nginx/imap-testd/listen.conf"]["source"]
        self.assertFalse(targets["/etc/nginx/tls"]["bind"]["create_host_path"])
        text = read(DOCKER, listen)
        self.assertEqual(set(re.findall(r"^ssl_certificate(?:_key)? (/.+)/\w+\.pem;$", text, re.MULTILINE)),
                         {"/etc/nginx/tls"})
        (port,) = set(re.findall(r"^listen (?:\S+:)?(\d+) ssl", text, re.MULTILINE))
        self.assertEqual(proxy["ports"], ["443:" + port])


@unittest.skipUnless(proxy.nginx(), "needs nginx")
class ReplicasTest(case.Case):
    """nginx as it is shipped, in front of two addresses of one name."""

    def test_a_host_is_tested_by_one_replica(self):
        with proxy.Upstream() as one, proxy.Upstream() as other:
            def shipped(name, original=proxy.shipped):
                name_of_all = "server imap-testd:8080;"
                return original(name).replace(name_of_all, name_of_all + " server %s:%d;" % other.address)

            with unittest.mock.patch.object(proxy, "shipped", shipped), proxy.Proxy(one.address) as front:
                hosts = ["host%d.example" % number for number in range(41)]
                for host in hosts * 2:
                    connection = http.client.HTTPConnection(*front.address, timeout=10)
                    connection.request("GET", "/v1/imap-test?host=" + host)
                    self.assertEqual(connection.getresponse().status, 200)
                    connection.close()
            asked = [collections.Counter(line for _, line, _ in replica.requests) for replica in (one, other)]
        self.assertEqual(sum(sum(lines.values()) for lines in asked), 2 * len(hosts))
        self.assertEqual(set(asked[0]) & set(asked[1]), set())
        self.assertGreater(min(len(lines) for lines in asked), 5)


class KubernetesTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.kustomization = yaml.safe_load(read(KUBERNETES, "kustomization.yaml"))
        cls.objects = collections.defaultdict(list)
        for name in cls.kustomization["resources"]:
            for one in yaml.safe_load_all(read(KUBERNETES, name)):
                cls.objects[one["kind"]].append(one)
        (cls.deployment,) = cls.objects["Deployment"]
        cls.pod = cls.deployment["spec"]["template"]["spec"]
        (cls.container,) = cls.pod["containers"]
        cls.labels = cls.deployment["spec"]["template"]["metadata"]["labels"]
        lines = [line for line in read(KUBERNETES, "options.env").splitlines() if not line.startswith("#")]
        cls.options = dict(line.split("=", 1) for line in lines)

    def test_every_file_is_used(self):
        (generator,) = self.kustomization["configMapGenerator"]
        self.assertEqual(sorted(os.listdir(KUBERNETES)),
                         sorted(["kustomization.yaml", *self.kustomization["resources"], *generator["envs"]]))
        self.assertEqual(self.container["envFrom"], [{"configMapRef": {"name": generator["name"]}}])
        (namespace,) = self.objects["Namespace"]
        self.assertEqual(namespace["metadata"]["name"], self.kustomization["namespace"])
        self.assertEqual({kind: len(found) for kind, found in self.objects.items()},
                         {kind: 1 for kind in ("Namespace", "Deployment", "Service", "PodDisruptionBudget",
                                               "NetworkPolicy")})

    def test_the_image_is_ours(self):
        (image,) = self.kustomization["images"]
        self.assertEqual(self.container["image"], image["name"])
        self.assertEqual(image["newTag"], program("--version").split()[1])

    def test_options_are_taken_by_the_program(self):
        """They are good values too: the program goes on to what --check is asked for, and finds that wrong."""
        self.assertLessEqual(set(self.options), set(defaults()))
        done = subprocess.run([service.binary(), "--check", "."], env={**os.environ, **self.options},
                              capture_output=True, check=False, encoding="utf-8")
        self.assertEqual((done.returncode, done.stderr[:len("imap-testd: --check: ")]), (2, "imap-testd: --check: "))
        self.assertIn("IMAP_TEST_TRUSTED_PROXY", self.options)

    def test_rights(self):
        uid, gid = user_of("service")
        context = self.pod["securityContext"]
        self.assertEqual(context, {"runAsNonRoot": True, "runAsUser": uid, "runAsGroup": gid,
                                   "seccompProfile": {"type": "RuntimeDefault"}})
        self.assertEqual(self.container["securityContext"],
                         {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                          "capabilities": {"drop": ["ALL"]}})
        self.assertIs(self.pod["automountServiceAccountToken"], False)
        self.assertFalse({"volumes", "hostNetwork", "hostPID", "hostIPC", "serviceAccountName", "initContainers"} &
                         set(self.pod))
        (namespace,) = self.objects["Namespace"]
        self.assertEqual(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")

    def test_ports_are_one(self):
        port, metrics = self.container["ports"]
        self.assertEqual(self.options["IMAP_TEST_ADMIN_LISTEN"], "0.0.0.0:%d" % metrics["containerPort"])
        listen = self.options["IMAP_TEST_LISTEN"].rpartition(":")
        self.assertEqual((listen[0], int(listen[2])), ("0.0.0.0", port["containerPort"]))
        self.assertEqual(defaults()["IMAP_TEST_LISTEN"].rpartition(":")[2], listen[2])
        (offered,) = self.objects["Service"][0]["spec"]["ports"]
        self.assertEqual(offered["targetPort"], port["name"])
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            self.assertEqual(self.container[probe]["httpGet"], {"path": path, "port": port["name"]})

    def test_there_is_time_to_stop(self):
        drain, grace = (int(self.options["IMAP_TEST_%s_MS" % name]) / 1000 for name in ("DRAIN", "GRACE"))
        probe = self.container["readinessProbe"]
        self.assertGreaterEqual(drain, probe["periodSeconds"] * probe["failureThreshold"])
        self.assertGreater(self.pod["terminationGracePeriodSeconds"], drain + grace + LAST_ANSWERS_S)

    def test_there_is_always_one(self):
        spec = self.deployment["spec"]
        self.assertGreaterEqual(spec["replicas"], 2)
        self.assertEqual(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0)
        (budget,) = self.objects["PodDisruptionBudget"]
        self.assertLess(budget["spec"]["maxUnavailable"], spec["replicas"])
        selectors = [spec["selector"]["matchLabels"], budget["spec"]["selector"]["matchLabels"],
                     self.objects["Service"][0]["spec"]["selector"],
                     self.objects["NetworkPolicy"][0]["spec"]["podSelector"]["matchLabels"],
                     self.pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]]
        self.assertEqual(selectors, [self.labels] * len(selectors))

    def test_resources(self):
        limits = self.container["resources"]["limits"]
        self.assertEqual(limits["cpu"], self.options["IMAP_TEST_WORKERS"])
        self.assertEqual(set(self.container["resources"]["requests"]), {"cpu", "memory"})
        self.assertEqual(limits["memory"], "1Gi", "as in the unit and the compose file")

    def test_network(self):
        spec = self.objects["NetworkPolicy"][0]["spec"]
        self.assertEqual(spec["policyTypes"], ["Ingress", "Egress"])
        proxy, watch = spec["ingress"]
        for way_in in (proxy, watch):
            self.assertTrue(all("namespaceSelector" in one and "podSelector" in one for one in way_in["from"]))
        self.assertEqual([[one["port"] for one in way_in["ports"]] for way_in in (proxy, watch)],
                         [["http"], ["metrics", "http"]])
        dns, imap = spec["egress"]
        self.assertEqual({(one["protocol"], one["port"]) for one in dns["ports"]}, {("UDP", 53), ("TCP", 53)})
        self.assertEqual({one["port"] for one in imap["ports"]}, IMAP_PORTS)
        self.assertEqual(IMAP_PORTS, {int(defaults()["IMAP_TEST_%s_PORT" % name]) for name in ("IMAP", "IMAPS")})
        for address in ("10.0.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "169.254.169.254", "127.0.0.1",
                        "0.0.0.0", "224.0.0.1", "fd00::1", "fe80::1", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"):
            self.assertFalse(self.lets_through(imap["to"], address), address)
        for address in ("8.8.8.8", "11.0.0.1", "172.32.0.1", "2001:4860::1"):
            self.assertTrue(self.lets_through(imap["to"], address), address)

    @staticmethod
    def lets_through(peers, text):
        address = ipaddress.ip_address(text)
        return any(address in ipaddress.ip_network(peer["ipBlock"]["cidr"]) and
                   not any(address in ipaddress.ip_network(one) for one in peer["ipBlock"].get("except", []))
                   for peer in peers)


if __name__ == "__main__":
    case.main()
