"""`binsight serve --on ray`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from binsight.cli.options import require_extra


def serve_replicas(
    given: Mapping[str, Any],
    *,
    address: str | None,
    host: str,
    port: int,
    keys: bool | None,
    tls: tuple[Path, Path] | None,
    as_json: bool,
) -> None:
    """Serve by replicas on a cluster until the process is asked to end; `given` are the fields of their `Options`."""
    require_extra("ray-serve", "serving on Ray")
    from binsight.counting import Bundle, default_bundle
    from binsight.counting.cores import available_cores
    from binsight.engines.ray.serve_app import serve_on_ray
    from binsight.engines.ray.serving import Options
    from binsight.errors import BadInput
    from binsight.service.access import must_ask_for_keys
    from binsight.service.logs import log_to_stderr
    from binsight.service.server import check_tls
    from binsight.settings import settings

    chosen = settings()
    if "follow" not in given:
        if given.get("canary_share", chosen.canary_share) or given.get("shadow_share", chosen.shadow_share):
            raise BadInput("a canary and a shadow are what the registry calls so; add --follow champion")
        Bundle.open(
            given.get("model") or default_bundle()
        )  # here, where it is told at once, and not by each replica
    if tls is not None:
        check_tls(tls)
    lanes, fewest = given.get("lanes", 1), given.get("min_replicas", 1)
    most = given.get("max_replicas") or max(fewest, available_cores() // lanes)
    if most < fewest:
        raise BadInput(f"--max-replicas must be at least {fewest}, as --min-replicas is, but is {most}; give more")
    options = Options(**{**given, "max_replicas": most, "keys": must_ask_for_keys(host, keys)})
    log_to_stderr(as_json=as_json)
    serve_on_ray(options, address=address, host=host, port=port, tls=tls)
