"""``tune-jobs cluster-init``: make what a cluster needs, and write its file."""

import argparse
import re
import sys
from pathlib import Path

from tune_jobs.commands import options
from tune_jobs.commands.cluster.check import show_check
from tune_jobs.errors import TuneJobsError

NAME, OUT = "stir", "cluster.yaml"
OF_AWS = ("region", "from_address", "max_machines", "machine_image", "vpc", "email")


def add(commands) -> None:
    parser = options.declare(
        commands,
        "cluster-init",
        "make what a cluster needs, once, and write its file with nothing left to fill in",
        "tune-jobs cluster-init --region us-east-1 --max-machines 8; ray up cluster.yaml",
    )
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="with --provider local: machines")
    add_name(parser)
    parser.add_argument(
        "--provider", choices=("aws", "local", "kuberay"), default="aws",
        help="Amazon's machines, machines at hand that SSH reaches, or Kubernetes (aws)",
    )  # fmt: skip
    parser.add_argument(
        "--out", default="", metavar="FILE", help="the file to write (cluster.yaml)"
    )
    parser.add_argument(
        "--image", default="", help="one that has this software; none is needed on AWS"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _add_aws(parser)
    local = parser.add_argument_group("machines at hand, and Kubernetes")
    local.add_argument("--ssh-user", default="", metavar="USER", help="who logs in (you)")
    local.add_argument("--ssh-key", default="", metavar="FILE", help="(what ssh takes by itself)")
    local.add_argument("--storage", default="", metavar="URI", help="a shared folder, or s3://...")
    parser.set_defaults(run=_init)


def add_name(
    parser: argparse.ArgumentParser, *, default: str | None = NAME, usual: str = NAME
) -> None:
    parser.add_argument(
        "--name",
        type=_name,
        default=default,
        help=f"of the cluster, if there are several ({usual})",
    )


def _add_aws(parser: argparse.ArgumentParser) -> None:
    aws = parser.add_argument_group("on AWS")
    aws.add_argument("--region", metavar="R", help="(that of your AWS configuration)")
    aws.add_argument(
        "--from-address", default="", metavar="CIDR",
        help="from where SSH may come (this machine's address, as checkip.amazonaws.com sees it)",
    )  # fmt: skip
    kinds = aws.add_mutually_exclusive_group()
    kinds.add_argument("--gpu", action="store_true", help="machines with GPUs only")
    kinds.add_argument("--cpu", action="store_true", help="machines without GPUs only")
    aws.add_argument("--max-machines", type=options.positive, metavar="N", help="at once (16)")
    aws.add_argument("--machine-image", default="", metavar="AMI", help="(Amazon's with drivers)")
    aws.add_argument("--vpc", default="", metavar="ID", help="(the region's default network)")
    aws.add_argument("--email", default="", help="who is told when the month's bill gets high")
    aws.add_argument("--monthly", type=options.positive, metavar="DOLLARS", help="how high (100)")


def _init(args: argparse.Namespace) -> int:
    if args.provider == "aws":
        return _init_aws(args)
    given = [name for name in OF_AWS if getattr(args, name)]
    if given:
        raise TuneJobsError(
            f"--{given[0].replace('_', '-')} is for AWS; got --provider {args.provider}."
        )
    return (_init_local if args.provider == "local" else _init_kuberay)(args)


def _init_aws(args: argparse.Namespace) -> int:
    from tune_jobs.cluster.setup.aws import Wish, carry_out, propose
    from tune_jobs.cluster.token import make_token, token_path

    if args.hosts:
        raise TuneJobsError(
            f"Machines are named with --provider local only; got {' '.join(args.hosts)}."
        )
    wish = Wish(
        name=args.name,
        out=Path(args.out or OUT),
        region=args.region,
        from_address=args.from_address,
        gpu=not args.cpu,
        cpu=not args.gpu,
        max_machines=args.max_machines,
        image=args.image,
        machine_image=args.machine_image,
        vpc=args.vpc,
        email=args.email,
        monthly_dollars=args.monthly,
    )
    proposal = propose(wish)
    print("\n".join(proposal.lines()))
    if not args.yes and not confirmed("Make all this? [y/N] ", "y"):
        print("nothing was made")
        return 1
    carry_out(proposal, lambda line: print(line, flush=True))
    print(f"Ray's token: {token_path()} {'made' if make_token() else 'is there'}")
    status = show_check(str(wish.out))
    if not status:
        print(
            f"next:\n  ray up {wish.out}\n"
            "  tune-jobs submit STUDY --keep-alive --budget DOLLARS\n"
            f"and in the end:\n  ray down {wish.out}"
        )
    return status


def confirmed(question: str, answer: str) -> bool:
    """Whether the user gives the answer; TuneJobsError where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise TuneJobsError("This asks before it acts, and there is no terminal; --yes agrees.")
    return input(question).strip().lower() == answer.lower()


def _init_local(args: argparse.Namespace) -> int:
    from tune_jobs.cluster.setup.at_hand import write_local
    from tune_jobs.cluster.token import make_token, token_path

    out = Path(args.out or OUT)
    write_local(
        out,
        name=args.name,
        hosts=args.hosts,
        user=args.ssh_user,
        key=args.ssh_key,
        storage=args.storage,
        say=lambda line: print(line, flush=True),
    )
    print(f"Ray's token: {token_path()} {'made' if make_token() else 'is there'}")
    print(f"{out}: written; the head is {args.hosts[0]}")
    status = show_check(str(out))
    if not status:
        print(f"next:\n  RAY_UP_enable_autoscaler_v2=0 ray up {out}\n  tune-jobs submit STUDY")
        print(f"and in the end:\n  ray down {out}")
    return status


def _init_kuberay(args: argparse.Namespace) -> int:
    from tune_jobs.cluster.setup.at_hand import write_kuberay

    out = Path(args.out or "rayjob.yaml")
    write_kuberay(out, image=args.image, storage=args.storage)
    print(f"{out}: written; docs/cluster.md says which two secrets must be there")
    print(f"next:\n  kubectl apply -f {out}")
    return 0


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z](?:-?[a-z0-9]){0,19}", text):
        raise argparse.ArgumentTypeError(
            "must be up to 20 lower-case letters, digits and single dashes, a letter first; "
            f"got {text!r}"
        )
    return text
