# moto's server. A change set of moto changes resources only: here the stack also has
# the outputs, the template and the parameters that it made.
from moto.cloudformation import models
from moto.server import main

resources = models.ChangeSet.apply


def apply(self):
    self.stack.template = self.template
    self.stack._parse_template()
    resources(self)
    self.stack.parameters = self.parameters
    self.stack.output_map = self.stack._create_output_map()


models.ChangeSet.apply = apply
main()
