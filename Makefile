# `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup start demo test check bench \
	docker-build-fs docker-build-s3 docker-build-gcs docker-build-azure docker-build-all

# Name of the images without their tag, such as registry.example.com/fileloft.
IMAGE ?= fileloft
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
DOCKER_BUILD = docker build --build-arg REVISION=$(REVISION)

help: ## Show the targets
	@grep -hE '^[a-zA-Z0-9_-]+:.*?## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*?## "}; {printf "  %-18s %s\n", $$1, $$2}'

setup: ## Install dependencies
	npm ci

start: ## Run the server from source on port 8080
	npm start

demo: ## Run it with a page to try uploads with
	npm run demo

test: ## Run all tests
	npm test

check: ## Everything that must hold before a change lands
	.ci/run

bench: ## Measure against peers
	npm run bench

docker-build-fs: ## Build the image that stores on disk, tagged latest and fs
	$(DOCKER_BUILD) --build-arg BACKEND=fs -t $(IMAGE):latest -t $(IMAGE):fs .

docker-build-s3: ## Build the image for Amazon S3 and compatibles
	$(DOCKER_BUILD) --build-arg BACKEND=s3 -t $(IMAGE):s3 .

docker-build-gcs: ## Build the image for Google Cloud Storage
	$(DOCKER_BUILD) --build-arg BACKEND=gcs -t $(IMAGE):gcs .

docker-build-azure: ## Build the image for Azure Blob Storage
	$(DOCKER_BUILD) --build-arg BACKEND=azure -t $(IMAGE):azure .

docker-build-all: docker-build-fs docker-build-s3 docker-build-gcs docker-build-azure ## Build all images
