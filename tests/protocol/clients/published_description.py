"""Write the protocol's published description as a descriptor set: `published_description.py FILE`."""

import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from kserve.protocol.grpc import grpc_predict_v2_pb2

if __name__ == "__main__":
    files = FileDescriptorSet()
    grpc_predict_v2_pb2.DESCRIPTOR.CopyToProto(files.file.add())
    Path(sys.argv[1]).write_bytes(files.SerializeToString())
