# `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup start demo test check bench docker-build-fs

IMAGE ?= fileloft

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

docker-build-fs: ## Build the filesystem image, tagged latest and fs
	docker build --build-arg BACKEND=fs -t $(IMAGE):latest -t $(IMAGE):fs .
