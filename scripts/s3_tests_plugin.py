"""A plugin of pytest for scripts/s3-tests: takes the public access block off each bucket
that a test makes, as people do at AWS whose bucket is to be public. Buckets have it from
the start since 2023, and the suite is older."""

import botocore.client

call = botocore.client.BaseClient._make_api_call


def without_block(self, operation, params):
    answer = call(self, operation, params)
    if operation == "CreateBucket":
        call(self, "DeletePublicAccessBlock", {"Bucket": params["Bucket"]})
    return answer


botocore.client.BaseClient._make_api_call = without_block
