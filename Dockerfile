# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
WORKDIR /app
RUN pip install --no-cache-dir uv
# With the neural forecaster (280 MB more): docker compose build --build-arg EXTRAS="--extra postgres --extra deep"
ARG EXTRAS="--extra postgres"
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen $EXTRAS --no-dev --no-install-project
COPY selfheal selfheal
COPY healing healing
COPY learning learning
COPY metafocus metafocus
COPY config config
RUN uv sync --frozen $EXTRAS --no-dev --no-editable

FROM python:3.12-slim
# git and ssh: for signed heads that are pushed to a repository (SELF_HEAL_LOG_PUSH).
RUN apt-get update && apt-get install --yes --no-install-recommends git openssh-client && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 selfheal && install -d -o selfheal -m 700 /var/lib/selfheal /var/lib/selfheal-key
COPY --from=build /app/.venv /app/.venv
COPY --from=build /app/config /app/config
WORKDIR /app
USER selfheal
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SELF_HEAL_HOME=/var/lib/selfheal \
    SELF_HEAL_LISTEN=0.0.0.0
EXPOSE 8000
ENTRYPOINT ["selfheal"]
CMD ["up"]
