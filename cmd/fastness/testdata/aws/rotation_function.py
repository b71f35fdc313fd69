"""A rotation function as they are written for AWS, behind a small HTTP bridge.

The function is one of AWS's shape: lambda_handler takes an event, asks Secrets
Manager by boto3 whether the rotation is one that it should work at, and does one
of the four steps. What it rotates is a file that holds the password. The bridge
hands each POST to the function, and prints the steps and the address.
"""
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3

target = sys.argv[1]


def lambda_handler(event, context):
    arn, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    client = boto3.client("secretsmanager", endpoint_url=os.environ["FASTNESS_ADDR"])

    metadata = client.describe_secret(SecretId=arn)
    if not metadata["RotationEnabled"]:
        raise ValueError("Secret %s is not enabled for rotation" % arn)
    versions = metadata["VersionIdsToStages"]
    if token not in versions:
        raise ValueError("Secret version %s has no stage for rotation of secret %s." % (token, arn))
    if "AWSCURRENT" in versions[token]:
        return
    if "AWSPENDING" not in versions[token]:
        raise ValueError("Secret version %s not set as AWSPENDING for rotation of secret %s." % (token, arn))

    {"createSecret": create_secret, "setSecret": set_secret, "testSecret": test_secret, "finishSecret": finish_secret}[step](client, arn, token)


def create_secret(client, arn, token):
    current = json.loads(client.get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["SecretString"])
    try:
        client.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")
    except client.exceptions.ResourceNotFoundException:
        current["password"] = client.get_random_password(ExcludePunctuation=True)["RandomPassword"]
        client.put_secret_value(SecretId=arn, ClientRequestToken=token, SecretString=json.dumps(current), VersionStages=["AWSPENDING"])


def pending(client, arn, token):
    return json.loads(client.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")["SecretString"])


def set_secret(client, arn, token):
    with open(target, "w") as f:
        f.write(pending(client, arn, token)["password"])


def test_secret(client, arn, token):
    with open(target) as f:
        if f.read() != pending(client, arn, token)["password"]:
            raise ValueError("the password does not work")


def finish_secret(client, arn, token):
    current = None
    for version, stages in client.describe_secret(SecretId=arn)["VersionIdsToStages"].items():
        if "AWSCURRENT" in stages:
            if version == token:
                return
            current = version
    client.update_secret_version_stage(SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current)


class Bridge(BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            lambda_handler(event, None)
            status = 200
        except Exception as e:
            print(repr(e), file=sys.stderr, flush=True)
            status = 400
        print(event["Step"], status, flush=True)
        self.send_response(status)
        self.end_headers()

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Bridge)
print("http://127.0.0.1:%d/" % server.server_port, flush=True)
server.serve_forever()
