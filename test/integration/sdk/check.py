"""Checks the simulated account with boto3 and the AWS CLI: check.py IAMTRACK FOLDER.

Each test starts `iamtrack simulate` as a user would, takes over the environment
that it prints, and compares what AWS's tools see with the declared truth.
"""

import concurrent.futures
import contextlib
import datetime
import glob
import json
import os
import signal
import subprocess
import sys
import time
import unittest

import boto3
import botocore.config
import botocore.exceptions

IAMTRACK, FOLDER = sys.argv[1], sys.argv[2]
WORLD = ["--days", "7", "--events", "3000", "--seed", "5"]


@contextlib.contextmanager
def simulate(*args):
    """Runs the simulated account; os.environ is as it says while it runs."""
    before = dict(os.environ)
    # Nothing of this computer's own AWS settings takes part.
    for name in list(os.environ):
        if name.startswith("AWS_"):
            del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    command = [IAMTRACK, "--data-dir", FOLDER, "simulate", "--listen", "127.0.0.1:0", *WORLD, *args]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in server.stdout:
            if line.startswith("export "):
                name, value = line.removeprefix("export ").strip().split("=", 1)
                os.environ[name] = value
            if line.startswith("unset "):
                break
        else:
            raise AssertionError(f"it did not start: {server.stderr.read()}")
        yield
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 0, server.stderr.read()
    finally:
        server.kill()
        server.communicate()
        os.environ.clear()
        os.environ.update(before)


def client(service, region="us-east-1", account=None, attempts=1):
    """A client of an account (the management account's, unless named)."""
    session = boto3.session.Session(aws_access_key_id=account, aws_secret_access_key="dummy" if account else None, region_name=region)
    return session.client(service, config=botocore.config.Config(retries={"mode": "standard", "total_max_attempts": attempts}))


def read_all(account, region, **parameters):
    """All events of a listing, by boto3's own paginator and retries."""
    events = []
    for page in client("cloudtrail", region, account, attempts=10).get_paginator("lookup_events").paginate(**parameters):
        assert len(page["Events"]) <= 50
        events += page["Events"]
        time.sleep(0.5)
    return events


def aws(*args, code=0):
    done = subprocess.run(["aws", *args], capture_output=True, text=True, check=False)
    assert done.returncode == code, (args, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done


class World(unittest.TestCase):
    """What is there."""

    @classmethod
    def setUpClass(cls):
        cls.trail = os.path.join(FOLDER, "trail")
        truth = os.path.join(FOLDER, "truth.json")
        cls.enterClassContext(simulate("--truth", truth, "--trail", cls.trail))
        with open(truth, encoding="utf-8") as f:
            cls.truth = json.load(f)
        cls.accounts = [a["id"] for a in cls.truth["accounts"]]
        cls.regions = [r["RegionName"] for r in client("ec2").describe_regions()["Regions"]]
        streams = [(a, r) for a in cls.accounts for r in cls.regions]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            cls.events = dict(zip(streams, pool.map(lambda s: read_all(*s), streams)))

    def test_all_events_once_and_newest_first(self):
        for account in self.accounts:
            want = sorted(e["event_id"] for e in self.truth["events"] if e["account_id"] == account)
            got = sorted(e["EventId"] for (a, _), events in self.events.items() if a == account for e in events)
            self.assertEqual(got, want)
        for (account, region), events in self.events.items():
            times = [e["EventTime"] for e in events]
            self.assertEqual(times, sorted(times, reverse=True))
            for e in events:
                record = json.loads(e["CloudTrailEvent"])
                self.assertEqual((record["eventID"], record["recipientAccountId"], record["awsRegion"]), (e["EventId"], account, region))
                self.assertEqual(e["ReadOnly"], str(record["readOnly"]).lower())
                self.assertEqual(e["EventSource"], record["eventSource"])
                self.assertEqual(e.get("AccessKeyId", ""), record["userIdentity"].get("accessKeyId", ""))
        self.assertGreater(len(self.regions), 16)
        self.assertIn([], self.events.values())

    def test_each_attribute(self):
        account = self.accounts[1]
        events = self.events[account, "us-east-1"]
        values = {
            "EventId": lambda e: [e["EventId"]],
            "EventName": lambda e: [e["EventName"]],
            "ReadOnly": lambda e: [e["ReadOnly"]],
            "Username": lambda e: [e.get("Username")],
            "ResourceType": lambda e: [r["ResourceType"] for r in e["Resources"]],
            "ResourceName": lambda e: [r["ResourceName"] for r in e["Resources"]],
            "EventSource": lambda e: [e["EventSource"]],
            "AccessKeyId": lambda e: [e.get("AccessKeyId")],
        }
        for key, value in values.items():
            with self.subTest(key):
                wanted = next(v for e in events for v in value(e) if v)
                got = read_all(account, "us-east-1", LookupAttributes=[{"AttributeKey": key, "AttributeValue": wanted}])
                self.assertEqual([e["EventId"] for e in got], [e["EventId"] for e in events if wanted in value(e)])

    def test_start_and_end_are_inclusive(self):
        account = self.accounts[1]
        events = self.events[account, "us-east-1"]
        start, end = events[len(events) * 2 // 3]["EventTime"], events[len(events) // 3]["EventTime"]
        got = read_all(account, "us-east-1", StartTime=start, EndTime=end, PaginationConfig={"PageSize": 7})
        self.assertEqual([e["EventId"] for e in got], [e["EventId"] for e in events if start <= e["EventTime"] <= end])

    def test_limit(self):
        """Two requests a second: of eight in a row, some are answered, some throttled."""
        def ask(_):
            try:
                client("cloudtrail", "ap-south-1").lookup_events()
                return "ok"
            except botocore.exceptions.ClientError as e:
                self.assertEqual(e.response["ResponseMetadata"]["HTTPStatusCode"], 400)
                return e.response["Error"]["Code"]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(8)))
        self.assertEqual(set(answers), {"ok", "ThrottlingException"})

    def test_identity_and_roles(self):
        sts = client("sts")
        self.assertEqual(sts.get_caller_identity()["Account"], self.accounts[0])
        role = f"arn:aws:iam::{self.accounts[2]}:role/iamtrack-read"
        given = sts.assume_role(RoleArn=role, RoleSessionName="check")["Credentials"]
        session = boto3.session.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name="us-east-1")
        self.assertEqual(session.client("sts").get_caller_identity()["Arn"], f"arn:aws:sts::{self.accounts[2]}:assumed-role/iamtrack-read/check")
        with self.assertRaises(botocore.exceptions.ClientError) as e:
            sts.assume_role(RoleArn=role + "x", RoleSessionName="check")
        self.assertEqual(e.exception.response["Error"]["Code"], "AccessDenied")
        regions = {r["RegionName"] for r in client("account").list_regions(RegionOptStatusContains=["ENABLED", "ENABLED_BY_DEFAULT"])["Regions"]}
        self.assertEqual(regions, set(self.regions))
        listed = [a["Id"] for page in client("organizations").get_paginator("list_accounts").paginate() for a in page["Accounts"]]
        self.assertEqual(listed, self.accounts)
        self.assertEqual(len(client("sso-admin", "eu-west-1").list_instances()["Instances"]), 1)
        topic = f"arn:aws:sns:us-east-1:{self.accounts[0]}:alerts"
        self.assertTrue(client("sns").publish(TopicArn=topic, Subject="s", Message="m")["MessageId"])
        allowed = client("iam").simulate_principal_policy(PolicySourceArn="arn:aws:iam::111122223333:user/x", ActionNames=["cloudtrail:LookupEvents"])
        self.assertEqual(allowed["EvaluationResults"][0]["EvalDecision"], "allowed")

    def test_command_line(self):
        events = self.events[self.accounts[0], "eu-west-1"]
        got = json.loads(aws("cloudtrail", "lookup-events", "--region", "eu-west-1", "--page-size", "20", "--output", "json").stdout)["Events"]
        self.assertEqual([e["EventId"] for e in got], [e["EventId"] for e in events])
        name = events[0]["EventName"]
        got = json.loads(aws("cloudtrail", "lookup-events", "--region", "eu-west-1", "--lookup-attributes", f"AttributeKey=EventName,AttributeValue={name}",
                             "--start-time", events[-1]["EventTime"].isoformat(), "--output", "json").stdout)["Events"]
        self.assertEqual([e["EventId"] for e in got], [e["EventId"] for e in events if e["EventName"] == name])
        text = aws("sts", "get-caller-identity", "--query", "Account", "--output", "text").stdout
        self.assertEqual(text.strip(), self.accounts[0])
        refused = aws("cloudtrail", "lookup-events", "--region", "eu-central-1", "--start-time", "2026-11-02", "--end-time", "2026-11-01", code=255)
        self.assertIn("InvalidTimeRangeException", refused.stderr)
        listed = json.loads(aws("s3api", "list-objects-v2", "--bucket", "organization-trail-logs", "--output", "json").stdout)["Contents"]
        on_disk = [f for f in glob.glob(self.trail + "/**/*.json.gz", recursive=True) if "public-keys" not in f]
        self.assertEqual(len(listed), len(on_disk))

    def test_trail_is_valid(self):
        """AWS's own check of digests and log files accepts the trail, and finds changes."""
        validate = ["cloudtrail", "validate-logs", "--trail-arn", f"arn:aws:cloudtrail:us-east-1:{self.accounts[0]}:trail/organization-trail",
                    "--account-id", self.accounts[1], "--region", "us-east-1", "--start-time", self.truth["start"]]
        said = aws(*validate).stdout
        self.assertNotIn("INVALID", said)
        self.assertRegex(said, r"\n(\d+)/\1 digest files valid")
        self.assertRegex(said, r"\n(\d+)/\1 backfill digest files valid")
        self.assertRegex(said, r"\n(\d+)/\1 log files valid")
        logs = glob.glob(f"{self.trail}/**/{self.accounts[1]}_CloudTrail_us-east-1_*.json.gz", recursive=True)
        with open(logs[0], "rb") as f:
            kept = f.read()
        try:
            with open(logs[0], "wb") as f:
                f.write(kept[:-20] + bytes([kept[-20] ^ 1]) + kept[-19:])
            self.assertIn("INVALID", aws(*validate, code=1).stderr)
        finally:
            with open(logs[0], "wb") as f:
                f.write(kept)


class Errors(unittest.TestCase):
    """Each documented error, as boto3 reports it."""

    def failing(self, code, *faults, key=None, region="us-east-1", sleep=0.0, status=400, **parameters):
        with self.subTest(code, faults=faults), simulate(*[a for f in faults for a in ("--fault", f)]):
            asker = client("cloudtrail", region, key)
            first = parameters.pop("first", None)
            if first is not None:
                parameters["NextToken"] = asker.lookup_events(**first)["NextToken"]
                time.sleep(sleep)
            with self.assertRaises(botocore.exceptions.ClientError) as e:
                asker.lookup_events(**parameters)
            self.assertEqual(e.exception.response["Error"]["Code"], code)
            self.assertEqual(e.exception.response["ResponseMetadata"]["HTTPStatusCode"], status)

    def test_errors(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        name = {"AttributeKey": "EventName", "AttributeValue": "x"}
        self.failing("InvalidLookupAttributesException", LookupAttributes=[name, name])
        self.failing("InvalidLookupAttributesException", LookupAttributes=[{"AttributeKey": "Colour", "AttributeValue": "x"}])
        self.failing("InvalidMaxResultsException", MaxResults=51)
        self.failing("InvalidTimeRangeException", StartTime=now, EndTime=now - datetime.timedelta(seconds=2))
        self.failing("InvalidNextTokenException", NextToken="AAAA")
        self.failing("InvalidNextTokenException", first={}, MaxResults=10)
        self.failing("InvalidNextTokenException", "token-expiry=1s", first={}, sleep=1.5)
        self.failing("InvalidEventCategoryException", EventCategory="management")
        self.failing("OperationNotPermittedException", "error=OperationNotPermittedException")
        self.failing("UnsupportedOperationException", "error=UnsupportedOperationException")
        self.failing("ThrottlingException", "throttle=1")
        self.failing("AccessDeniedException", "deny=us-east-1")
        self.failing("UnrecognizedClientException", "unknown-key=AKIAUNKNOWN", key="AKIAUNKNOWN")
        self.failing("UnrecognizedClientException", region="me-south-1")
        self.failing("InternalFailure", "error500=1", status=500)
        self.failing("InvalidSignatureException", "clock-skew=10m")

    def test_expired_credentials(self):
        with simulate("--fault", "credentials-expire=1s"):
            asker = client("cloudtrail", "us-east-1", "ASIASESSION")
            asker.lookup_events()
            time.sleep(1.5)
            with self.assertRaises(botocore.exceptions.ClientError) as e:
                asker.lookup_events()
            self.assertEqual(e.exception.response["Error"]["Code"], "ExpiredTokenException")

    def test_broken_connections(self):
        """boto3's own retries get over resets, and lose nothing."""
        with simulate("--fault", "reset=0.3", "--fault", "empty-page=0.2"):
            events = read_all("012345678901", "eu-west-1")
        with simulate():
            self.assertEqual([e["EventId"] for e in events], [e["EventId"] for e in read_all("012345678901", "eu-west-1")])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
