"""SageMaker from outside: what is asked of AWS, as plain data first.

```
deploy.toml ─▶ Deployment ─▶ pieces: each thing that AWS keeps for us, as calls
                               ├▶ --dry-run   the calls, checked, and what it costs
                               ├▶ deploy      what is missing is made, what differs is changed
                               ├▶ destroy     what we made is removed
                               └▶ --template  the same for CloudFormation
```
Only `aws` and what it starts import boto3; everything else can be read, printed and tested without an account.
"""
