"""SWOP profiles for tests: one with every key, one with as few as can be."""

WHOLE = """\
groupname: demo
taskrunner: defaulttaskbb.taskdb.sml.hpe
policyuri: ~
resourcemgr:
  mgrtype: DOCKER
  accessinfo:
    accesstype: FROMENV
network: host-1-net
apls:
  locator:
    host: 172.16.0.1
    port: ~
apisrv:
  locator:
    host: sn-1
    port: ~
    service: ~
envvars:
  - SL_LOG_LEVEL: INFO
  - http_proxy: ~
  - SL_RAM_INTENSIVE: False
dns: [172.16.0.2, ns.example]
nodes:
  - slnodedef:
      idx: 0
      identity:
        - attribute: {aType: KEY, mType: BIND, src: /certs/sl-key.pem, tgt: /swarm-cert/sl-key.pem, subPath: ~}
        - attribute: {aType: CAPATH, mType: VOLUME, src: authorities, tgt: /swarm-cert/capath, subPath: root}
      slhostname: sl-1
      slhostip: 172.16.0.3
      slport: ~
      privatedata:
        src: /data/site-1
        mType: BIND
      slenvvars:
        - SL_LOG_LEVEL: DEBUG
      slnetworkopts:
        - ip: 172.30.0.5
      sllabels: {team: a, number: 7}
      usrhostname: ml-1
      usrenvvars:
        - MAX_EPOCHS: 2
        - SEED: ~
      usrlabels: [first, second]
      usrnetworkopts:
        - ip: 172.30.0.6
      usrcontaineropts:
        - gpus: "device=3,5"
        - shm-size: 16G
        - privileged: true
        - device: [/dev/kfd, /dev/dri]
  - slnodedef:
      idx: 1
      slfsservice: fs.sl-2.example:30331
"""
LEAST = """\
groupname: demo
taskrunner: defaulttaskbb.taskdb.sml.hpe
network: default
nodes:
  - slnodedef: {idx: 0, slhostip: sl-1}
"""
