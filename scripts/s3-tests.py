"""Configures ceph's s3-tests, and judges what they say. See scripts/s3-tests.

    s3-tests.py configure ENDPOINT DIR        writes the configuration to stdout
    s3-tests.py judge KNOWN RESULT SELECTED   compares failures with those that are known
"""

import collections
import configparser
import json
import re
import sys
from urllib.parse import urlsplit

import boto3

CONFIGURATION = """
[DEFAULT]
host = {host}
port = {port}
is_secure = False
ssl_verify = False
[fixtures]
bucket prefix = t-{{random}}-
iam name prefix = s3-tests-
iam path prefix = /s3-tests/
[s3 main]
display_name = 000000000000
user_id = {first_id}
email = first@example.com
api_name = eu-west-1
access_key = {first[0]}
secret_key = {first[1]}
kms_keyid = {key}
kms_keyid2 = {key2}
[s3 alt]
display_name = 111111111111
user_id = {second_id}
email = second@example.com
access_key = {second[0]}
secret_key = {second[1]}
[s3 tenant]
display_name = 111111111111
user_id = {second_id}
email = second@example.com
tenant = other
access_key = {second[0]}
secret_key = {second[1]}
[iam]
display_name = 000000000000
user_id = 000000000000
email = first@example.com
access_key = {first[0]}
secret_key = {first[1]}
[iam root]
user_id = 000000000000
email = first@example.com
access_key = {first[0]}
secret_key = {first[1]}
[iam alt root]
user_id = 111111111111
email = second@example.com
access_key = {second[0]}
secret_key = {second[1]}
"""


def configure(endpoint, directory):
    at = urlsplit(endpoint)
    stored = configparser.ConfigParser()
    stored.read(directory + "/data/credentials")
    first = stored["default"]["aws_access_key_id"], stored["default"]["aws_secret_access_key"]
    with open(directory + "/second") as f:
        text = json.load(f)
    second = text["accessKeyId"], text["secretAccessKey"]

    def client(service, pair):
        return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=pair[0], aws_secret_access_key=pair[1])

    key, key2 = (client("kms", first).create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    print(
        CONFIGURATION.format(
            host=at.hostname,
            port=at.port,
            first=first,
            second=second,
            key=key,
            key2=key2,
            first_id=client("s3", first).list_buckets()["Owner"]["ID"],
            second_id=client("s3", second).list_buckets()["Owner"]["ID"],
        )
    )


def known(path):
    """Returns the kind of each failure that is explained. The name of a test may end in *."""
    kinds = {}
    kind = None
    with open(path) as f:
        for line in f:
            line = line.split("#")[0].rstrip()
            if line.endswith(":"):
                kind = line[:-1]
            elif line.strip():
                kinds[line.strip()] = kind
    return kinds


def judge(path, result, selected):
    explained = known(path)
    ended = collections.defaultdict(set)
    with open(result, errors="replace") as f:
        for line in f:
            found = re.match(r"(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) \S*::(\w+(?:\[.*?\])?)", line)
            if found:
                ended[found[1]].add(found[2])
    failed = ended["FAILED"] | ended["ERROR"]
    passed = ended["PASSED"] - failed
    kinds, used = {}, set()
    for name in failed:
        for pattern, kind in explained.items():
            if name == pattern or pattern.endswith("*") and name.startswith(pattern[:-1]):
                kinds[name] = kind
                used.add(pattern)
    by_kind = collections.Counter(kinds.values())
    new = sorted(failed - set(kinds))
    print(f"{len(passed)} passed, {len(failed)} failed, {len(ended['SKIPPED'])} skipped")
    for kind, count in sorted(by_kind.items()):
        print(f"{count:5}  {kind}")
    mended = sorted(set(explained) & passed)
    scope = len(passed) + len(failed) - sum(n for kind, n in by_kind.items() if kind.startswith("out of scope"))
    if scope:
        print(f"in scope: {len(passed)} of {scope}, {100 * len(passed) / scope:.1f} %")
    for name in new:
        print("not explained:", name)
    for name in mended:
        print("explained, and passes:", name)
    gone = [] if int(selected) else sorted(set(explained) - used - passed)
    for name in gone:
        print("explained, and not there:", name)
    return 1 if new or mended or gone else 0


if __name__ == "__main__":
    if sys.argv[1] == "configure":
        configure(*sys.argv[2:])
    else:
        sys.exit(judge(*sys.argv[2:]))
