"""What schemas do not say of the rendered chart: python deploy/ci/chart.py FOLDER"""

import pathlib
import sys

import yaml

folder = pathlib.Path(sys.argv[1])


def objects(name):
    """The rendered objects by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all((folder / name).read_text()) if each}


def pods(kinds):
    return [kind["spec"]["template"]["spec"] for kind in kinds.values() if "template" in kind["spec"]]


def check_restricted(pod):
    """The restricted pod security standard."""
    security = pod["securityContext"]
    assert security["runAsNonRoot"] and security["runAsUser"] > 0, security
    assert security["seccompProfile"]["type"] == "RuntimeDefault", security
    assert not pod["automountServiceAccountToken"] and not pod["enableServiceLinks"], pod
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["capabilities"]["drop"] == ["ALL"] and own["readOnlyRootFilesystem"], own
        assert not own["allowPrivilegeEscalation"], own


def environment(pod):
    return {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}


def check_stop(pod):
    """Kubernetes waits for longer than the service takes."""
    given = environment(pod)
    takes = int(given["BALANCE_DRAIN_SECONDS"]) + int(given["BALANCE_SHUTDOWN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] > takes and int(given["BALANCE_DRAIN_SECONDS"]) > 0, given


postgres, scaled, sqlite = objects("postgres.yaml"), objects("scaled.yaml"), objects("sqlite.yaml")
assert set(postgres) == {"Deployment", "PodDisruptionBudget", "Job", "Service"}, set(postgres)
assert set(scaled) == set(postgres) | {"HorizontalPodAutoscaler"}, set(scaled)
assert set(sqlite) == {"StatefulSet", "Service"}, set(sqlite)
for kinds in (postgres, scaled, sqlite):
    for pod in pods(kinds):
        check_restricted(pod)
for served in (postgres["Deployment"], scaled["Deployment"], sqlite["StatefulSet"]):
    check_stop(served["spec"]["template"]["spec"])

assert postgres["Job"]["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
assert environment(pods(postgres)[0])["BALANCE_MIGRATE_ON_START"] == "false"
assert "replicas" not in scaled["Deployment"]["spec"], "the autoscaler decides"
assert environment(scaled["Deployment"]["spec"]["template"]["spec"])["BALANCE_CURRENCY"] == "EUR"
assert sqlite["StatefulSet"]["spec"]["replicas"] == 1
claim = sqlite["StatefulSet"]["spec"]["volumeClaimTemplates"][0]["spec"]
assert claim["accessModes"] == ["ReadWriteOncePod"] and claim["storageClassName"] == "fast", claim
assert environment(pods(sqlite)[0])["BALANCE_DATABASE_URL"].startswith("sqlite:/var/lib/balance/")
for kinds in (postgres, sqlite):
    selector = kinds["Service"]["spec"]["selector"]
    labels = next(iter(kinds[kind] for kind in ("Deployment", "StatefulSet") if kind in kinds))
    assert selector.items() <= labels["spec"]["template"]["metadata"]["labels"].items(), selector
print("the chart: restricted pods, one writer on SQLite, stops in time")
