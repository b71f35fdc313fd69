"""The main path of Secrets Manager through boto3."""
import os

import boto3
from botocore.exceptions import ClientError

client = boto3.client("secretsmanager", endpoint_url=os.environ["FASTNESS_ADDR"])


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
        assert e.response["Error"]["Message"], e
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 400, e
        return
    raise AssertionError(f"{call} was not refused")


made = client.create_secret(Name="python/a", SecretString="one", Tags=[{"Key": "k", "Value": "v"}])
assert client.get_secret_value(SecretId=made["ARN"])["SecretString"] == "one"
client.put_secret_value(SecretId="python/a", SecretString="two")
assert client.get_secret_value(SecretId="python/a")["SecretString"] == "two"
assert client.get_secret_value(SecretId="python/a", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
client.create_secret(Name="python/b", SecretBinary=b"\x00\xff")
assert client.get_secret_value(SecretId="python/b")["SecretBinary"] == b"\x00\xff"

described = client.describe_secret(SecretId="python/a")
assert described["Tags"] == [{"Key": "k", "Value": "v"}], described
assert sorted(sum(described["VersionIdsToStages"].values(), [])) == ["AWSCURRENT", "AWSPREVIOUS"], described
assert described["CreatedDate"].year > 2000, described

pages = client.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 1})
assert [s["Name"] for p in pages for s in p["SecretList"]] == ["python/a", "python/b"]

refused("ResourceNotFoundException", client.get_secret_value, SecretId="none")
refused("ResourceExistsException", client.create_secret, Name="python/a", SecretString="x")
client.delete_secret(SecretId="python/a")
refused("InvalidRequestException", client.get_secret_value, SecretId="python/a")
client.restore_secret(SecretId="python/a")
client.delete_secret(SecretId="python/a", ForceDeleteWithoutRecovery=True)
refused("ResourceNotFoundException", client.describe_secret, SecretId="python/a")
print("done")
