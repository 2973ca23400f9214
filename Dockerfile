# What every machine of a cluster runs, on AWS (cluster.yaml) and on Kubernetes (docs/rayjob.yaml).
# Ray's image has what its launcher needs: ssh, rsync, a user with sudo. PyTorch brings CUDA's
# libraries itself and the host brings the driver, so that one image serves machines with a GPU and
# machines without.
FROM rayproject/ray:2.60.0-py311-cpu

ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /home/ray/scale-generalization
COPY --chown=ray:users . .
RUN python -m pip install --no-cache-dir --constraint constraints.txt '.[all,aws]' \
    && mkdir -p /home/ray/.ray \
    && tune-jobs --help > /dev/null
