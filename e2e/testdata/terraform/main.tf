# What docs/clients/terraform.md, which is run too, does not have: what changes from one stage to
# the next, aliases, Urls, tiers and data sources. See ../../terraform_test.go.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
variable "endpoint" {}
variable "stage" { default = "one" }
variable "source_file" {}
provider "aws" {
  region            = "us-east-1"
  s3_use_path_style = true
  endpoints {
    ec2 = var.endpoint
    iam = var.endpoint
    s3  = var.endpoint
    sts = var.endpoint
    kms = var.endpoint
  }
}
resource "aws_s3_bucket" "images" {
  bucket = "tf-images"
  tags   = { stage = var.stage }
}
resource "aws_s3_object" "disk" {
  bucket      = aws_s3_bucket.images.id
  key         = "disk.raw"
  source      = var.source_file
  source_hash = filemd5(var.source_file)
}
resource "aws_iam_role" "vmimport" {
  name = "vmimport"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "vmie.amazonaws.com" }, Action = "sts:AssumeRole",
    Condition = { StringEquals = { "sts:Externalid" = "vmimport" } } }]
  })
}
resource "aws_iam_role_policy" "vmimport" {
  name = "vmimport"
  role = aws_iam_role.vmimport.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"], Resource = [aws_s3_bucket.images.arn, "${aws_s3_bucket.images.arn}/*"] },
      { Effect = "Allow", Action = ["kms:*"], Resource = ["*"] },
    ]
  })
}
resource "aws_ebs_snapshot_import" "disk" {
  description = "by Terraform"
  disk_container {
    description = "a disk"
    format      = "RAW"
    user_bucket {
      s3_bucket = aws_s3_bucket.images.id
      s3_key    = aws_s3_object.disk.key
    }
  }
  client_data { comment = "a comment" }
  role_name    = aws_iam_role.vmimport.name
  storage_tier = "standard"
  tags         = { Name = "imported", stage = var.stage }
  depends_on   = [aws_iam_role_policy.vmimport]
}
resource "aws_kms_key" "disks" {
  description             = "disks"
  deletion_window_in_days = 7
}
resource "aws_kms_alias" "disks" {
  name          = "alias/disks"
  target_key_id = aws_kms_key.disks.key_id
}
resource "aws_ebs_snapshot_import" "sealed" {
  encrypted  = true
  kms_key_id = aws_kms_key.disks.arn
  disk_container {
    format = "RAW"
    url    = "s3://${aws_s3_bucket.images.id}/${aws_s3_object.disk.key}"
  }
  role_name    = aws_iam_role.vmimport.name
  storage_tier = "archive"
  depends_on   = [aws_iam_role_policy.vmimport]
}
resource "aws_ebs_snapshot_copy" "copy" {
  source_snapshot_id = aws_ebs_snapshot_import.disk.id
  source_region      = "us-east-1"
  description        = "a copy"
  encrypted          = true
  kms_key_id         = aws_kms_key.disks.arn
  tags               = { stage = var.stage }
}
data "aws_ebs_snapshot" "disk" {
  snapshot_ids = [aws_ebs_snapshot_import.disk.id]
}
data "aws_ebs_snapshot_ids" "mine" {
  owners = ["self"]
  filter {
    name   = "tag:stage"
    values = [var.stage]
  }
  depends_on = [aws_ebs_snapshot_copy.copy]
}
output "snapshot" { value = data.aws_ebs_snapshot.disk.id }
output "ids" { value = data.aws_ebs_snapshot_ids.mine.ids }
