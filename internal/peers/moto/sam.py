"""What AWS's servers do with a template before they make a stack of it. The translator of
AWS SAM is AWS's own; of AWS::LanguageExtensions there is what our template uses,
conditions in DeletionPolicy and UpdateReplacePolicy."""

import json
import os
import sys

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse


def transform(text, given):
    """The template as JSON without transforms, for these parameters."""
    template = yaml_parse(text)
    values = {k: v.get("Default", "") for k, v in template.get("Parameters", {}).items()} | given

    def holds(condition):
        (left, right) = template["Conditions"][condition]["Fn::Equals"]
        return values[left["Ref"]] == right

    for resource in template["Resources"].values():
        for attribute in ("DeletionPolicy", "UpdateReplacePolicy"):
            if isinstance(resource.get(attribute), dict):
                (condition, yes, no) = resource[attribute]["Fn::If"]
                resource[attribute] = yes if holds(condition) else no
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
            # The emulator knows it by its older name only, and fails no creation.
            resource["DeletionPolicy"] = "Retain"

    session = boto3.session.Session(region_name=os.environ["AWS_REGION"])
    result = Translator({}, Parser(), boto_session=session).translate(template, dict(values))
    result.pop("Transform", None)
    return json.dumps(result)


def transform_file():
    """argv[1] is the template, standard input the parameters as JSON; the result goes to
    standard output."""
    with open(sys.argv[1], encoding="utf-8") as f:
        print(transform(f.read(), json.load(sys.stdin)))
