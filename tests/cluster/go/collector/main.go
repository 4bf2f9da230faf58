// An OpenTelemetry collector with one way through it: it receives OTLP/HTTP at the address that is its argument, and
// writes every request's spans to standard output as a line of OTLP JSON.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

const configuration = `yaml:
receivers: {otlp: {protocols: {http: {endpoint: "%s"}}}}
exporters: {stdout: {}}
service:
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines: {traces: {receivers: [otlp], exporters: [stdout]}}
`

var stdoutType = component.MustNewType("stdout")

// lines is the exporter.
type lines struct {
	component.StartFunc
	component.ShutdownFunc
	mutex sync.Mutex
	out   *bufio.Writer
}

func (l *lines) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (l *lines) ConsumeTraces(_ context.Context, spans ptrace.Traces) error {
	json, err := (&ptrace.JSONMarshaler{}).MarshalTraces(spans)
	if err != nil {
		return err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if _, err = l.out.Write(append(json, '\n')); err != nil {
		return err
	}
	return l.out.Flush()
}

func components() (otelcol.Factories, error) {
	otlp, stdout := otlpreceiver.NewFactory(), exporter.NewFactory(stdoutType, func() component.Config { return &struct{}{} },
		exporter.WithTraces(func(context.Context, exporter.Settings, component.Config) (exporter.Traces, error) {
			return &lines{out: bufio.NewWriter(os.Stdout)}, nil
		}, component.StabilityLevelStable))
	return otelcol.Factories{
		Receivers: map[component.Type]receiver.Factory{otlp.Type(): otlp},
		Exporters: map[component.Type]exporter.Factory{stdout.Type(): stdout},
		Telemetry: otelconftelemetry.NewFactory(),
	}, nil
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: collector ADDRESS")
	}
	collector, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "collector", Version: "0"},
		Factories: components,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs:              []string{fmt.Sprintf(configuration, os.Args[1])},
			ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
		}},
	})
	if err == nil {
		err = collector.Run(context.Background())
	}
	if err != nil {
		log.Fatal(err)
	}
}
