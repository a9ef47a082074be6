"""Customers of a telephone and internet company: household, services and billing."""

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Bool, Float64, Int64, String

from slipway.features import places

telco_customer = Entity(
    name="telco_customer",
    join_keys=["telco_customer_id"],
    value_type=ValueType.STRING,
    description="A customer of the telephone company, like 7590-VHVEG",
)

telco_customers = places.source("telco_customers")

KEY = Field(name="telco_customer_id", dtype=String)

telco_household = FeatureView(
    name="telco_household",
    entities=[telco_customer],
    source=telco_customers,
    schema=[
        KEY,
        Field(name="gender", dtype=String, description="female or male"),
        Field(name="senior_citizen", dtype=Bool, description="65 or older"),
        Field(name="partner", dtype=Bool),
        Field(name="dependents", dtype=Bool),
    ],
    description="The customer's household",
)

telco_services = FeatureView(
    name="telco_services",
    entities=[telco_customer],
    source=telco_customers,
    schema=[
        KEY,
        Field(name="phone_service", dtype=Bool),
        Field(name="multiple_lines", dtype=Bool),
        Field(name="internet_service", dtype=String, description="none, dsl or fiber_optic"),
        Field(name="online_security", dtype=Bool),
        Field(name="online_backup", dtype=Bool),
        Field(name="device_protection", dtype=Bool),
        Field(name="tech_support", dtype=Bool),
        Field(name="streaming_tv", dtype=Bool),
        Field(name="streaming_movies", dtype=Bool),
    ],
    description="The services that the customer uses",
)

telco_billing = FeatureView(
    name="telco_billing",
    entities=[telco_customer],
    source=telco_customers,
    schema=[
        KEY,
        Field(name="tenure", dtype=Int64, description="Months since the first contract"),
        Field(name="contract", dtype=String, description="month_to_month, one_year or two_year"),
        Field(name="paperless_billing", dtype=Bool),
        Field(name="payment_method", dtype=String),
        Field(name="monthly_charges", dtype=Float64, description="Dollars in the current month"),
        Field(
            name="total_charges",
            dtype=Float64,
            description="Dollars; missing without a bill",
        ),
    ],
    description="Contract and charges",
)

churn = FeatureService(
    name="churn",
    features=[telco_household, telco_services, telco_billing],
    description="The record of the model `churn`",
)
