# moto's server. A change set of moto changes resources only: here the stack also has
# the outputs, the template and the parameters that it made. And a template that names
# transforms goes through sam.py first, which stands before this file.
from moto.cloudformation import models
from moto.server import main

resources = models.ChangeSet.apply


def apply(self):
    self.stack.template = self.template
    self.stack._parse_template()
    resources(self)
    self.stack.parameters = self.parameters
    self.stack.output_map = self.stack._create_output_map()


create = models.CloudFormationBackend.create_change_set


def create_transformed(self, **asked):
    if "\nTransform:" in asked["template"]:
        given = {k: text(v) for k, v in asked["parameters"].items()}
        asked["template"] = transform(asked["template"], given)
        # All of them: moto takes one that it isn't told for one that changes.
        named = json.loads(asked["template"])["Parameters"]
        asked["parameters"] = {k: text(v["Default"]) for k, v in named.items() if "Default" in v} | given
    return create(self, **asked)


def text(value):
    """A parameter that keeps its value comes as moto has read it."""
    return ",".join(value) if isinstance(value, list) else str(value)


models.ChangeSet.apply = apply
models.CloudFormationBackend.create_change_set = create_transformed
main()
