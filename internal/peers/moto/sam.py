"""What AWS's servers do with a template before they make a stack of it: argv[1] is the
template, standard input the parameters as JSON; the result goes to standard output. The
translator of AWS SAM is AWS's own; of AWS::LanguageExtensions there is what our template
uses, conditions in DeletionPolicy and UpdateReplacePolicy."""

import json
import os
import sys

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

with open(sys.argv[1], encoding="utf-8") as f:
    template = yaml_parse(f.read())
given = json.load(sys.stdin)
values = {k: v.get("Default", "") for k, v in template["Parameters"].items()} | given


def holds(condition):
    (left, right) = template["Conditions"][condition]["Fn::Equals"]
    return values[left["Ref"]] == right


for name, resource in template["Resources"].items():
    for attribute in ("DeletionPolicy", "UpdateReplacePolicy"):
        if isinstance(resource.get(attribute), dict):
            (condition, yes, no) = resource[attribute]["Fn::If"]
            resource[attribute] = yes if holds(condition) else no

session = boto3.session.Session(region_name=os.environ["AWS_REGION"])
result = Translator({}, Parser(), boto_session=session).translate(template, dict(values))
result.pop("Transform", None)
json.dump(result, sys.stdout)
