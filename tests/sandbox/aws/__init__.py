"""SageMaker, its runtime and S3 on loopback: moto behind a front that does what moto lacks, and is as strict as the services."""

from tests.sandbox.aws.aws import Aws

__all__ = ["Aws"]
