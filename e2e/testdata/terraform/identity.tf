# Who may do what: users, roles, policies and their boundaries, an instance profile, and
# a key that is rotated.
data "aws_caller_identity" "me" {}
data "aws_partition" "here" {}
data "aws_iam_policy" "read" { name = "AmazonS3ReadOnlyAccess" }
data "aws_iam_policy_document" "limit" {
  statement {
    sid       = "Limit"
    actions   = var.stage == "one" ? ["s3:*", "kms:*"] : ["s3:*", "kms:*", "ec2:*"]
    resources = ["*"]
  }
  statement {
    effect    = "Deny"
    actions   = ["s3:DeleteBucket"]
    resources = [aws_s3_bucket.images.arn]
    condition {
      test     = "StringNotEquals"
      variable = "aws:PrincipalTag/team"
      values   = ["images"]
    }
  }
}
resource "aws_iam_policy" "limit" {
  name        = "limit"
  path        = "/boundaries/"
  description = "what anybody here may do at most"
  policy      = data.aws_iam_policy_document.limit.json
}
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["vmie.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = ["vmimport"]
    }
  }
}
resource "aws_iam_role" "import" {
  name                 = "tf-import"
  description          = "imports for ${var.stage}"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = 7200
  permissions_boundary = aws_iam_policy.limit.arn
  tags                 = { stage = var.stage }
}
resource "aws_iam_role_policy" "import" {
  name   = "images"
  role   = aws_iam_role.import.id
  policy = data.aws_iam_policy_document.limit.json
}
resource "aws_iam_role_policy_attachment" "read" {
  role       = aws_iam_role.import.name
  policy_arn = data.aws_iam_policy.read.arn
}
resource "aws_iam_role_policy_attachment" "own" {
  role       = aws_iam_role.import.name
  policy_arn = aws_iam_policy.limit.arn
}
resource "aws_iam_instance_profile" "builder" {
  name = "builder"
  role = aws_iam_role.import.name
}
resource "aws_iam_user" "builder" {
  name                 = "builder"
  path                 = "/machines/"
  permissions_boundary = var.stage == "one" ? aws_iam_policy.limit.arn : "arn:aws:iam::aws:policy/PowerUserAccess"
  force_destroy        = true
  tags                 = { stage = var.stage }
}
resource "aws_iam_user_policy" "builder" {
  name   = "builds"
  user   = aws_iam_user.builder.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:*", Resource = "*" }] })
}
resource "aws_iam_user_policy_attachment" "builder" {
  user       = aws_iam_user.builder.name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/AmazonEC2ReadOnlyAccess"
}
resource "aws_iam_access_key" "builder" {
  user = aws_iam_user.builder.name
}
resource "aws_kms_key" "rotated" {
  description             = "rotated"
  enable_key_rotation     = true
  rotation_period_in_days = var.stage == "one" ? 180 : 365
  deletion_window_in_days = 7
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:root" }, Action = "kms:*", Resource = "*" },
      { Effect = "Allow", Principal = { AWS = aws_iam_role.import.arn }, Action = ["kms:Decrypt", "kms:GenerateDataKey*"], Resource = "*" },
    ]
  })
}
resource "aws_kms_alias" "rotated" {
  name          = "alias/tf/rotated"
  target_key_id = aws_kms_key.rotated.key_id
}
resource "aws_kms_grant" "builder" {
  name              = "builder"
  key_id            = aws_kms_key.rotated.key_id
  grantee_principal = aws_iam_role.import.arn
  operations        = ["Encrypt", "Decrypt", "DescribeKey"]
}
resource "aws_kms_ciphertext" "secret" {
  key_id    = aws_kms_key.rotated.key_id
  plaintext = "attack at dawn"
  context   = { purpose = "test" }
}
data "aws_kms_alias" "rotated" { name = aws_kms_alias.rotated.name }
data "aws_iam_role" "import" { name = aws_iam_role.import.name }
data "aws_iam_user" "builder" { user_name = aws_iam_user.builder.name }
output "boundary" { value = data.aws_iam_role.import.permissions_boundary }
