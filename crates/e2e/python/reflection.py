"""Lists, describes and calls the suite by gRPC reflection alone, with grpcio and no generated code.

usage: reflection.py [--token TOKEN] ADDRESS METHOD JSON [ADDRESS METHOD JSON ...]

For each address: reads its services by reflection, describes every method, calls METHOD (for
example "alina.memory.v1.MemoryService/GetStats") with the request given as JSON and prints one JSON
line: {"address", "services", "methods", "answer"}. Ends with 1 when anything fails.
"""

import argparse
import json
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

DEADLINE_SECONDS = 60


def inspect(address: str, method: str, request: str, token: str | None) -> dict:
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        services = sorted(database.get_services())
        methods = [
            f"{service}/{described.name}"
            for service in services
            for described in pool.FindServiceByName(service).methods
        ]
        service, name = method.split("/")
        described = pool.FindServiceByName(service).FindMethodByName(name)
        call = channel.unary_unary(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(described.output_type).FromString,
        )
        message = json_format.Parse(
            request, GetMessageClass(described.input_type)(), descriptor_pool=pool
        )
        metadata = [("authorization", f"Bearer {token}")] if token else None
        answer = call(message, timeout=DEADLINE_SECONDS, metadata=metadata)
        return {
            "address": address,
            "services": services,
            "methods": methods,
            "answer": json_format.MessageToDict(answer, descriptor_pool=pool),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--token")
    parser.add_argument("calls", nargs="+", metavar="ADDRESS METHOD JSON")
    arguments = parser.parse_args()
    if len(arguments.calls) % 3:
        parser.error("give ADDRESS METHOD JSON for each call")
    for start in range(0, len(arguments.calls), 3):
        try:
            result = inspect(*arguments.calls[start : start + 3], arguments.token)
        except (grpc.RpcError, KeyError, ValueError) as error:
            print(f"{arguments.calls[start]}: {error}", file=sys.stderr)
            return 1
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
