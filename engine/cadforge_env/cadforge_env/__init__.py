"""CADForge's environment from Python: a typed OpenEnv client, and an environment class for TRL's GRPO trainer.

    from cadforge_env import CadForgeAction, CadForgeEnv

    with CadForgeEnv("http://127.0.0.1:8000").sync() as env:
        env.reset(task_id="wall_j_hook_120n")
        result = env.step(CadForgeAction(code="import cadquery as cq\\nfixture = cq.Workplane().box(10, 20, 30)"))
        print(result.reward, result.observation.verifier_notes)

The server is `cadforge serve`. Needs one of the packages `openenv` and `openenv-core`; both install a module of the
same name, so never both.
"""
from .client import CadForgeEnv, address_of, artifact_url, fetch_artifact
from .environment import CadForgeEnvironment
from .models import CadForgeAction, CadForgeObservation, CadForgeState, CadForgeStep

__all__ = ["CadForgeAction", "CadForgeEnv", "CadForgeEnvironment", "CadForgeObservation", "CadForgeState", "CadForgeStep",
           "address_of", "artifact_url", "fetch_artifact"]
