"""What cloud-init makes of user-data and vendor-data, by its own code: prints the paths that it would write, in order, and how many commands.

usage: cloud_init.py [--path DIR] user-data=FILE [vendor-data=FILE]
DIR has another cloudinit than the system's. FILE:FILE are the parts of a multipart, in this order.
"""

import os
import sys
import tempfile

arguments = sys.argv[1:]
if arguments[0] == "--path":
    sys.path.insert(0, arguments[1])
    arguments = arguments[2:]

from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

from cloudinit import handlers, helpers, util, version
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
from cloudinit.user_data import UserDataProcessor


def blob(files):
    texts = [open(file).read() for file in files.split(":")]
    if len(texts) == 1:
        return texts[0]
    whole = MIMEMultipart()
    for text in texts:
        whole.attach(MIMEText(text, "cloud-config"))
    return whole.as_string()


def config(files):
    """The one cloud-config that cloud-init makes of all parts, as stages.py has it made."""
    folder = tempfile.mkdtemp()
    paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder})
    message = UserDataProcessor(paths).process(blob(files))
    handler = CloudConfigPartHandler(paths)
    handler.cloud_fn = os.path.join(folder, "cloud-config.txt")
    known = helpers.ContentHandlers()
    known.register(handler, overwrite=True)
    handlers.call_begin(handler, {}, "always")
    data = {
        "handlers": known,
        "handlerdir": folder,
        "data": None,
        "frequency": "always",
        "handlercount": 0,
        "excluded": [],
    }
    handlers.walk(message, handlers.walker_callback, data)
    handlers.call_end(handler, {}, "always")
    return util.read_conf(handler.cloud_fn)


given = dict(argument.split("=", 1) for argument in arguments)
# user-data before vendor-data: helpers.ConfigMerger
whole = util.mergemanydict([config(given[kind]) for kind in ("user-data", "vendor-data") if kind in given])
print(version.version_string().split("-")[0])
for file in whole.get("write_files", []):
    print(file["path"])
print(len(whole.get("runcmd", [])))
