"""Settings of the services, from options, the environment (`RNNLAB_...`) or defaults, in that order."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What the environment may say."""

    model_config = SettingsConfigDict(env_prefix="RNNLAB_", extra="ignore")

    home: Path = Field(Path("rnnlab-home"), description="where stores, artifacts and files lie")
    lab: str | None = Field(None, description="URL of a lab database elsewhere: postgresql://user@host/name")
    mlflow: str | None = Field(None, description="address of an MLflow server elsewhere: http://host:5000")
