"""The manifests of serve/deploy, field by field against the types that KServe's and Kubernetes' packages for Python have.

  manifests.py     needs the packages of clients.txt
"""
import os
import re

import kserve
import kubernetes.client
import yaml

DEPLOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "deploy")
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object, "ResourceQuantity": (str, int), "IntOrString": (str, int)}


def named(kind):
    return getattr(kserve, kind, None) or getattr(kserve.models, kind, None) or getattr(kubernetes.client, kind, None)


def check(value, kind, place, names):
    """Counts the fields of a value; what is not of its type is refused."""
    names.append(place)
    if parts := re.fullmatch(r"[Ll]ist\[(.+)\]", kind):
        assert isinstance(value, list), f"{place}: expected a list, found {value!r}"
        return [check(item, parts[1], f"{place}[{i}]", names) for i, item in enumerate(value)]
    if parts := re.fullmatch(r"[Dd]ict[\[(]str, (.+)[\])]", kind):
        assert isinstance(value, dict), f"{place}: expected a map, found {value!r}"
        return [check(item, parts[1], f"{place}.{key}", names) for key, item in value.items()]
    if kind in PLAIN:
        assert isinstance(value, PLAIN[kind]), f"{place}: expected {kind}, found {value!r}"
        return None
    of = named(kind)
    assert of, f"{place}: no package has the type {kind}"
    fields = {name: of.openapi_types[field] for field, name in of.attribute_map.items()}
    for key, item in value.items():
        assert key in fields, f"{place}: {kind} has no field {key}; it has {', '.join(sorted(fields))}"
        check(item, fields[key], f"{place}.{key}", names)
    # Its own check of what has to be there.
    of(**{field: value.get(name) for field, name in of.attribute_map.items() if name in value})
    return None


def main():
    kinds = {"ClusterServingRuntime": "V1alpha1ClusterServingRuntime", "InferenceService": "V1beta1InferenceService", "Deployment": "V1Deployment",
             "Service": "V1Service", "HorizontalPodAutoscaler": "V2HorizontalPodAutoscaler"}
    for file in ("kserve.yaml", "kubernetes.yaml"):
        with open(os.path.join(DEPLOY, file)) as f:
            documents = list(yaml.safe_load_all(f))
        for document in documents:
            names = []
            check(document, kinds[document["kind"]], document["kind"], names)
            assert document["apiVersion"].endswith(re.match(r"V\d(?:alpha\d|beta\d)?", kinds[document["kind"]])[0].lower()), document["apiVersion"]
            print(f"{file}: {document['kind']}: {len(names)} fields")


if __name__ == "__main__":
    main()
