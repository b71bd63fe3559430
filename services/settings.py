"""Settings of the services, from options, the environment (`RNNLAB_...`) or defaults, in that order."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """What the environment may say."""

    model_config = SettingsConfigDict(env_prefix="RNNLAB_", extra="ignore")

    home: Path = Field(Path("rnnlab-home"), description="where stores, artifacts and files lie")
    lab: str | None = Field(None, description="URL of a lab database elsewhere: postgresql://user@host/name")
    mlflow: str | None = Field(None, description="address of an MLflow server elsewhere: http://host:5000")
    database_patience: float = Field(
        120.0, ge=0, description="seconds for which a sweep tries again while the lab database is away"
    )
    mlflow_patience: float = Field(
        600.0, ge=0, description="seconds without progress for which a sweep's end waits for an MLflow that is away"
    )


class ServiceSettings(Settings):
    """What the service reads beside that."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0: any free one")
    tokens: Literal["auto", "required", "off"] = Field(
        "auto", description="whether requests need a token; auto: unless only this machine can reach the service"
    )
    ray_dashboard: str | None = Field(None, description="address of a Ray head's dashboard; None: Ray is started here")
    workers: int | None = Field(None, ge=1, description="CPUs of the Ray that is started here")
    max_running_sweeps: int = Field(1, ge=1, description="sweeps that run at a time; the others wait")
    most_body: int = Field(1_000_000, ge=1_000, description="bytes of a request")
    most_trials: int = Field(10_000, ge=1, description="trials of one sweep")
    most_replicates: int = Field(64, ge=1, description="replicates of one trial")
    most_sweeps: int = Field(50, ge=1, description="sweeps that one token may have queued or running")
    data_folders: Annotated[list[str], NoDecode] = Field(
        [], description="folders in which a spec's data files may lie, separated by commas; none: no files"
    )
    plugins: Annotated[list[str], NoDecode] = Field(
        [], description="packages whose cells, inits, clips and tasks a spec may name, separated by commas"
    )
    mlflow_public: str | None = Field(None, description="where browsers find MLflow, if not at /mlflow of the service")
    secure_cookies: bool = Field(False, description="whether the login's cookie is for https alone")

    @field_validator("data_folders", "plugins", mode="before")
    @classmethod
    def _with_commas(cls, text: str | list[str]) -> list[str]:
        return [part.strip() for part in text.split(",") if part.strip()] if isinstance(text, str) else text

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
